"""Prepare a run: load models and data, check that they fit, write the record or compare it with the existing one."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camdbench.core import provenance
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.core.references import OBJECT
from camdbench.core.registries import datasets, explainers, is_control, metrics, needs_of, protocol_of
from camdbench.core.registries import models as registered_models
from camdbench.core.settings import fields_of
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Dataset
from camdbench.explainers.common.layer_choice import check_explainer, checked_layers
from camdbench.explainers.common.own import own_record
from camdbench.functional.targets import class_indices
from camdbench.metrics.common.curve_points import few_points
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import check_network
from camdbench.models.network_identity import network_code, probe, same_probe
from camdbench.models.target_layers import list_layers
from camdbench.runner.class_labels import meet_classes
from camdbench.runner.config import Request, RunConfig
from camdbench.runner.resources import Resources
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord
from camdbench.runner.saved_maps import fingerprint

Models = dict[str, dict[str, Any]]  # facts by requested name


@dataclass(frozen=True)
class Unit:
    """One chunk of images with one model and all missing explainers, which share its passes.

    Attributes:
        model: requested name of the model.
        chunk: number of the chunk.
        start: position of its first image.
        stop: position after its last image.
        explainers: the explainers to run.
    """

    model: str
    chunk: int
    start: int
    stop: int
    explainers: tuple[Spec, ...]


@dataclass(frozen=True)
class Run:
    """A run whose models, data and record are checked.

    Attributes:
        request: the checked configuration.
        resources: data set, models and maps.
        row_names: names of the models in rows.
        record: content of `run.json`; None in memory.
        directory: run directory; None in memory.
    """

    request: Request
    resources: Resources
    row_names: tuple[str, ...]
    record: RunRecord | None = None
    directory: RunDirectory | None = None

    def missing(self) -> tuple[list[Unit], int]:
        """Return the unfinished units, and the number of all parts."""
        asked, count = self.request, len(self.resources.images.ids)
        done = self.directory.is_done if self.directory is not None else lambda _: False
        units = missing_units(asked.models, self.row_names, asked.jobs, count, asked.chunk_size, done)
        return units, -(-count // asked.chunk_size) * len(asked.models) * len(asked.jobs)


def missing_units(
    models: Sequence[str],
    row_names: Sequence[str],
    explainers: Sequence[Spec],
    images: int,
    chunk_size: int,
    is_done: Callable[[PartKey], bool],
) -> list[Unit]:
    """Return the unfinished units, model by model.

    Args:
        models: requested names of the models.
        row_names: their names in the rows.
        explainers: all explainers of the run.
        images: number of images.
        chunk_size: images of a chunk.
        is_done: whether a part exists.
    """
    units = list[Unit]()
    for model, row_name in zip(models, row_names, strict=True):
        for chunk, start in enumerate(range(0, images, chunk_size)):
            lacking = tuple(spec for spec in explainers if not is_done(PartKey(row_name, str(spec), chunk)))
            if lacking:
                units.append(Unit(model, chunk, start, min(start + chunk_size, images), lacking))
    return units


def prepare(request: Request, resources: Resources | None = None, *, in_memory: bool = False) -> Run:
    """Load each model once, check that models and data fit, and write the record or compare it with the existing one.

    Args:
        request: the checked configuration.
        resources: objects that take the place of names.
        in_memory: whether to omit record and run directory.

    Raises:
        UsageError: a model, layer or label does not fit, or the run directory holds another run.
        CamdbenchError: no image can be read.
    """
    bound = (resources or Resources()).bind(request)
    size = bound.image_size
    few = {str(spec): points for spec in request.metrics if (points := few_points(spec, size)) is not None}
    _warn_of_few_points(few, size)
    meet_classes(bound)
    models = {name: _facts_of(bound.classifier(name), bound) for name in request.models}
    names = tuple(facts["name"] for facts in models.values())
    if in_memory:
        return Run(request, bound, names)
    _refuse_equal_names(models)
    for spec in request.explainers:
        bound.source(spec)  # refuses unsuitable saved maps before a folder is created
    record = _record(request, bound, models, few)
    root = Path(request.config.out or Path("runs", _automatic_name(record)))
    directory = RunDirectory(root)
    record = _write_or_compare(record, directory)
    return Run(request, bound, names, record, directory)


def session_facts(run: Run) -> dict[str, Any]:
    """Return the facts for the session file: execution options, explainers and plug-ins; the record itself is written once."""
    assert run.record is not None
    execution = [item.name for item in fields_of(RunConfig) if item.setting.role == "execution"]
    return {
        "config": {name: _to_json(getattr(run.request.config, name)) for name in execution},
        "explainers": run.record.explainers,
        "plugins": run.record.plugins,
        "given": run.record.given,
    }


def _facts_of(classifier: Classifier, resources: Resources) -> dict[str, Any]:
    """Check that a model fits the request and the data; return its facts for the record.

    Raises:
        UsageError: a layer cannot be explained, or labels exceed the model's classes.
    """
    request, dataset = resources.checked_request, resources.images
    size = resources.image_size
    checked = check_network(classifier, size)
    made_before = resources.maps is not None or resources.map_source is not None
    asked = [spec for spec in request.computed if not made_before and "layer" in needs_of(spec)]
    for spec in () if made_before else request.computed:
        check_explainer(classifier, spec, size)
    seen = list_layers(classifier, size) if asked else []
    layers = {str(spec): ", ".join(checked_layers(classifier, spec, None, seen)) for spec in asked}
    _check_classes(classifier, checked.classes, request, dataset)
    return {"name": resources.row_name(classifier), "classifier": classifier, "layers": layers, "check": checked}


def _check_classes(classifier: Classifier, classes: int, request: Request, dataset: Dataset) -> None:
    rule = request.target_rule
    class_indices(dataset.labels, len(dataset.ids), f"data set {request.dataset}: labels")
    if rule == "label" and max(dataset.labels) >= classes:
        raise UsageError(
            f"data set {request.dataset} has labels up to {max(dataset.labels)}, but model {classifier.name} has {classes} classes; "
            "list the model's classes in order in classes.txt, or choose --target predicted"
        )
    if rule.isdecimal() and int(rule) >= classes:
        raise UsageError(f"--target = {rule}: model {classifier.name} has classes 0 to {classes - 1}; choose one of them")


def _warn_of_few_points(few: Mapping[str, int], size: tuple[int, int]) -> None:
    for name, points in few.items():
        warnings.warn(
            f"metric {name}: its curve has {points} points on images of {size[0]} x {size[1]} pixels, so the area under it is coarse; "
            "choose a smaller step or patch",
            CamdbenchWarning,
            stacklevel=2,
        )


def _refuse_equal_names(models: Models) -> None:
    """Refuse two models with the same name in rows, as they would write the same files."""
    places = dict[str, str]()
    for place, facts in models.items():
        if (other := places.setdefault(facts["name"], place)) != place:
            raise UsageError(f"--models = {other},{place}: both are named {facts['name']} in rows; use a separate --out for each")


def _record(request: Request, resources: Resources, models: Models, few: Mapping[str, int]) -> RunRecord:
    dataset = resources.images
    kept = [item.name for item in fields_of(RunConfig) if item.setting.role != "execution"]
    return RunRecord(
        run="",
        config={name: _to_json(getattr(request.config, name)) for name in kept},
        dataset={"fingerprint": dataset.fingerprint(), "images": len(dataset.ids), "classes": list(dataset.classes)},
        models={
            facts["name"]: _model_record(name, facts, resources.image_size) | _model_origin(name, resources)
            for name, facts in models.items()
        },
        code=provenance.code_hash(),
        maps=None if request.maps is None else fingerprint(request.maps),
        map_normalisation=request.map_normalisation,
        given={str(spec): own.digest() for spec, own in resources.joint_maps.items()},
        plugins=_plugins(request),
        explainers={
            str(spec): {
                "paper": explainers.get(spec.name).facts.paper if spec.name in explainers else "",
                "control": spec.name in explainers and is_control(spec),
                "layers": {facts["name"]: facts["layers"].get(str(spec)) for facts in models.values()},
                **own_record(spec),
            }
            for spec in request.explainers
        },
        metrics={str(spec): _metric_record(spec) | _origin(spec) | _few(few.get(str(spec))) for spec in request.metrics},
        ids=list(dataset.ids),
        chunk_size=request.chunk_size,
    )


def _model_record(name: str, facts: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    classifier: Classifier = facts["classifier"]
    code = registered_models.plugin_hash(name) if name in registered_models else None
    return {
        "name": facts["name"],
        "weights_hash": classifier.weights_hash(),
        "code": network_code(classifier.network) if code is None else f"{network_code(classifier.network)}-{code}",
        "layer": classifier.layer,
        "classes": facts["check"].classes,
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "output": classifier.output or "logits",
        "batch_mates": classifier.batch_mates,
        "prefix_tokens": classifier.prefix_tokens,
        "input_size": classifier.input_size,
        "class_names": _short_hash(classifier.class_names),
        "probe": probe(classifier, size),
        "check": facts["check"].record(),
        **({} if classifier.channels == "rgb" else {"channels": classifier.channels}),
        **{key: value for key in ("preprocess", "revision") if (value := getattr(classifier, key)) is not None},
    } | provenance.training_of(name)


def _short_hash(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _model_origin(name: str, resources: Resources) -> dict[str, str]:
    """Where an own model comes from; empty for a name of the zoo."""
    return {"origin": resources.origins.get(name, OBJECT)} if name in resources.models else {}


def _origin(spec: Spec) -> dict[str, str]:
    own = metrics.own(spec.name)
    return {} if own is None else {"origin": own.origin}


def _few(points: int | None) -> dict[str, int]:
    return {} if points is None else {"curve_points": points}


def _metric_record(spec: Spec) -> dict[str, Any]:
    facts, protocol = metrics.get(spec.name).facts, protocol_of(spec)
    return {
        "paper": facts.paper,
        "protocol": protocol.name,
        "protocol_hash": protocol.digest(spec.name),
        "switches": protocol.switches,
        "options": dict(protocol.options),
        "scope": facts.scope,
        "higher_is_better": facts.higher_is_better,
        "unit": facts.unit,
        "tolerance": facts.tolerance,
    }


def _plugins(request: Request) -> dict[str, str]:
    """Return the code hashes of explainers, metrics and data sets from plug-ins, by name."""
    asked = [(explainers, part.name) for spec in request.explainers for part in spec.walk() if part.name in explainers]
    asked += [(metrics, spec.name) for spec in request.metrics]
    asked += [(datasets, request.dataset.name)] if request.dataset.name in datasets else []
    found = {name: registry.plugin_hash(name) for registry, name in asked}
    return {name: code for name, code in found.items() if code is not None}


def _to_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _automatic_name(record: RunRecord) -> str:
    """Return a name derived from configuration, data, weights and code."""
    text = json.dumps(record.identity | {"explainers": record.config["explainers"]}, sort_keys=True)
    name = record.config["dataset"].partition("(")[0]
    return f"{name}-{record.config['split']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write_or_compare(record: RunRecord, directory: RunDirectory) -> RunRecord:
    """Write the record if the directory has none, else compare it with the existing one; return it with the directory's name.

    Raises:
        UsageError: the directory holds a run with another configuration, data, weights or code.
    """
    record = replace(record, run=directory.root.resolve().name)
    existing = directory.read_record()
    if existing is None:
        directory.write_record(record)
        return record
    _refuse_another_run(existing, record, directory.root)
    return record


def _refuse_another_run(existing: RunRecord, record: RunRecord, root: Path) -> None:
    theirs, fix = existing.identity, "choose another --out or remove the folder"
    for key, value in record.identity.items():
        if theirs.get(key, value) == value:  # a plug-in that one session does not use cannot differ
            continue
        if key.startswith("network code of "):
            name = key.removeprefix("network code of ")
            raise UsageError(f"--out = {root}: holds a run with the network {name} of other code ({theirs[key]} -> {value}); {fix}")
        raise UsageError(f"--out = {root}: holds a run with {key} {theirs[key]}, not {value}; {fix}")
    for name, own in record.models.items():
        before = existing.models.get(name, {}).get("probe")
        if before is not None and not same_probe(before, own["probe"]):
            raise UsageError(f"--out = {root}: holds a run in which the network {name} returned other logits; {fix}")
