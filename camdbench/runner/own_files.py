"""Copies of a user's Python files beside the rows, in `RUN/own/`: what was run, for a reader; no run loads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camdbench.core.files import replacing
from camdbench.core.own_modules import files_of
from camdbench.core.references import files_in

_SUMS = "SHA256SUMS"


def write_own_files(root: Path, options: Mapping[str, Any]) -> None:
    """Copy the files of references and plug-ins, with the files that they import from their folders, and list their hashes.

    A copy has its path from the folder of the reference's file. It is never replaced: a file of other content gets its hash
    in its name.

    Args:
        root: the run directory.
        options: resolved options of a run.

    Raises:
        OSError: a copy cannot be written.
    """
    for file, name in _named(options):
        content = file.read_bytes()
        _keep(root / "own" / name, content)
    if (folder := root / "own").is_dir():
        copies = sorted(path for path in folder.rglob("*.py") if path.is_file())
        lines = [f"{_hash(path.read_bytes())}  {path.relative_to(folder).as_posix()}\n" for path in copies]
        _write(folder / _SUMS, "".join(lines).encode())


def _named(options: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Files and their paths in `own`."""
    asked = [text for name in ("explainers", "metrics", "models", "dataset") for text in files_in(options.get(name))]
    for text in dict.fromkeys([*asked, *options.get("plugins", ())]):
        start = Path(text).resolve()
        for file in sorted(own for own in files_of(start) if own.is_file()):  # a file may be gone since it was loaded
            yield file, file.relative_to(start.parent) if file.is_relative_to(start.parent) else Path(file.name)


def _keep(target: Path, content: bytes) -> None:
    if target.is_file() and target.read_bytes() != content:
        target = target.with_name(f"{target.stem}-{_hash(content)[:8]}{target.suffix}")
    if not target.is_file():
        _write(target, content)


def _write(target: Path, content: bytes) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
