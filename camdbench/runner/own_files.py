"""Copies of a user's Python files beside the rows, in `RUN/own/`: what was run. A run loads them with `own="copy"` alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.files import read_text
from camdbench.core.own_modules import files_of
from camdbench.core.references import files_in, with_paths
from camdbench.core.written_files import AlreadyWritten, creating, write_whole

_SUMS, _KINDS = "SHA256SUMS", ("explainers", "metrics", "models", "dataset", "objective")


def write_own_files(root: Path, options: Mapping[str, Any]) -> None:
    """Copy the files of references and plug-ins, with the files that they import from their folders, and list their hashes.

    A copy has its path from the folder of the reference's file. It is never replaced: a file of other content gets its hash
    in its name.

    Args:
        root: the run directory.
        options: resolved options of a run.

    Raises:
        UnwritableFile: a copy cannot be written.
    """
    for file, name in own_files(options):
        content = file.read_bytes()
        _keep(root / "own" / name, content)
    folder, written = root / "own", list[str]()
    while folder.is_dir() and written != (lines := _sums(folder)):  # again if another session has added a copy meanwhile
        write_whole(folder / _SUMS, "".join(lines), resumes=True)
        written = lines


def _sums(folder: Path) -> list[str]:
    copies = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return [f"{_hash(path.read_bytes())}  {path.relative_to(folder).as_posix()}\n" for path in copies]


def with_copies(options: Mapping[str, Any], config: object) -> dict[str, Any]:
    """Options of `RUN/run.yaml` with the copies in `RUN/own/` in place of the Python files of references and plug-ins.

    Args:
        options: what was read from the file.
        config: the file.

    Raises:
        UsageError: there are no copies, one has another hash than when it was written, or a file has none or several.
    """
    folder = (Path(config).parent if isinstance(config, str | Path) else Path()) / "own"
    if not isinstance(config, str | Path) or not (folder / _SUMS).is_file():
        raise UsageError(f"own = copy: {folder / _SUMS} does not exist; give the run.yaml of a run that has files, --config RUN/run.yaml")
    lines = read_text(folder / _SUMS, fix="restore it, or omit own").splitlines()
    sums = {name: known for known, _, name in (line.partition("  ") for line in lines)}
    for name, known in sums.items():
        if not (folder / name).is_file() or _hash((folder / name).read_bytes()) != known:
            raise UsageError(f"own = copy: {folder / name} is not the file that was run ({known[:8]}); restore it, or omit own")

    def copy_of(path: str) -> str:
        own = Path(path)
        if own.suffix != ".py":
            return path
        found = [name for name, known in sums.items() if name in (own.name, f"{own.stem}-{known[:8]}.py")]
        if len(found) != 1:
            raise UsageError(f"own = copy: {len(found)} copies of {own.name} in {folder}; name the file, or omit own")
        return str(folder / found[0])

    changed = {name: with_paths(options[name], copy_of) for name in _KINDS if name in options}
    return {**options, **changed, "plugins": [copy_of(text) for text in options.get("plugins", ())]}


def own_files(options: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Python files of references and plug-ins, with the files that they import, and their paths in `RUN/own`."""
    asked = [text for name in _KINDS for text in files_in(options.get(name))]
    for text in dict.fromkeys([*asked, *options.get("plugins", ())]):
        start = Path(text).resolve()
        for file in sorted(own for own in files_of(start) if own.is_file()):  # a file may be gone since it was loaded
            yield file, file.relative_to(start.parent) if file.is_relative_to(start.parent) else Path(file.name)


def _keep(target: Path, content: bytes) -> None:
    """Write a copy; under a name with its hash if the name is taken, also by a session that writes at the same time."""
    for place in (target, target.with_name(f"{target.stem}-{_hash(content)[:8]}{target.suffix}")):
        if not place.is_file():
            with suppress(AlreadyWritten), creating(place, resumes=True) as temporary:
                temporary.write_bytes(content)
        if place.read_bytes() == content:
            return


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
