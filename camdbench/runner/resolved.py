"""The resolved configuration of a run as YAML: `RUN/run.yaml`, an export from which an equal run can be started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core import provenance
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, metrics
from camdbench.core.registry import PLUGINS, Registry
from camdbench.core.settings import fields_of
from camdbench.core.signs import encodable
from camdbench.core.spec import Spec
from camdbench.core.written_files import write_whole
from camdbench.runner.config import RunConfig
from camdbench.runner.own_files import write_own_files

if TYPE_CHECKING:
    from camdbench.runner.prepare import Run

_OBJECT = "object"  # key of a value that was no name


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
