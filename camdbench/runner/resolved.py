"""Export of a run, from which an equal one can be started: its resolved configuration `RUN/run.yaml`, and own files in `RUN/own/`.

Copies of a user's Python files are what was run; a run loads them with `own="copy"` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core import provenance
from camdbench.core.errors import UsageError
from camdbench.core.files import read_text
from camdbench.core.own_modules import files_of
from camdbench.core.references import files_in, with_paths
from camdbench.core.registries import explainers, metrics
from camdbench.core.registry import PLUGINS, Registry
from camdbench.core.settings import fields_of
from camdbench.core.signs import encodable
from camdbench.core.spec import Spec
from camdbench.core.written_files import AlreadyWritten, creating, write_whole
from camdbench.runner.config import RunConfig

if TYPE_CHECKING:
    from camdbench.runner.prepare import Run

_OBJECT = "object"  # key of a value that was no name
_SUMS, _KINDS = "SHA256SUMS", ("explainers", "metrics", "models", "dataset", "objective")


def resolved(run: Run) -> dict[str, Any]:
    """Options of a run with all defaults and absolute paths, without `out` and `shard`; objects are named, and must be given again."""
    place, resources = run.resources.with_absolute_paths().place, run.resources
    assert place is not None
    found = {item.name: _plain(getattr(place.config, item.name)) for item in fields_of(RunConfig) if item.name not in ("out", "shard")}
    found |= {"device": run.request.config.device, "models": _models(run), "dataset": str(place.dataset)}
    found |= {"explainers": _own_specs(explainers, run.request.computed) or "none", "metrics": _own_specs(metrics, run.request.metrics)}
    if resources.dataset is not None:
        found["dataset"] = resources.dataset_place or {_OBJECT: resources.dataset_name}
    if resources.objective is not None:
        found["objective"] = resources.objective_place or {_OBJECT: resources.objective.name}
    found |= resources.data_options
    if resources.joint:
        found["maps"] = {_OBJECT: list(resources.joint)}
    return ({"plugins": list(dict.fromkeys(PLUGINS))} if PLUGINS else {}) | found


def _models(run: Run) -> list[str] | dict[str, list[str]]:
    """Names of the zoo, and references as NAME=REFERENCE; names of objects if there are any."""
    resources, place = run.resources, run.resources.with_absolute_paths().place
    assert place is not None
    if objects := [name for name in run.request.models if name in resources.models and name not in resources.places]:
        return {_OBJECT: objects}
    pairs = zip(run.request.models, place.models, strict=True)
    return [f"{name}={resources.places[name]}" if name in resources.places else own for name, own in pairs]


def _own_specs(registry: Registry[Any], specs: Sequence[Spec]) -> list[str] | dict[str, list[str]]:
    """Specs, those of a user's functions as references; names of objects if there are any."""
    known = [(spec, registry.own(spec.name)) for spec in specs]
    texts = [str(spec) if own is None else own.reference(spec) for spec, own in known]
    return texts if all(texts) else {_OBJECT: [str(spec) for spec, text in zip(specs, texts, strict=True) if not text]}


def to_yaml(options: Mapping[str, Any]) -> str:
    """YAML of a configuration; versions are in its comments."""
    import yaml

    about = "".join(f"# {name} {number}\n" for name, number in provenance.versions().items())
    return encodable(about + yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True, width=140))


def write_resolved(run: Run) -> None:
    """Write `run.yaml` and copies of own files to the run directory; none for scores of saved maps, which are no options.

    Raises:
        UnwritableFile: a file cannot be written.
    """
    assert run.directory is not None
    if run.request.maps is not None:
        return
    options = resolved(run)
    write_own_files(run.directory.root, options)
    file, text = run.directory.root / "run.yaml", to_yaml(options)
    if file.is_file() and _content(file.read_text(encoding="utf-8", errors="replace")) == _content(text):
        return
    write_whole(file, text, resumes=True)


def _content(text: str) -> list[str]:
    """Lines without comments at the top, which name versions."""
    return [line for line in text.splitlines() if not line.startswith("# ")]


def refuse_objects(options: Mapping[str, Any]) -> None:
    """Refuse options that name objects of another Python session.

    Raises:
        UsageError: an option is such a name.
    """
    for name, value in options.items():
        if isinstance(value, Mapping) and set(value) == {_OBJECT}:
            raise UsageError(f"{name} = {value[_OBJECT]}: an object of a Python session; give --{name}, or run(config=…, {name}=…)")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): str(own) for name, own in value.items()}
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


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
