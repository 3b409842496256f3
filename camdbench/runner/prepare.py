"""Prepare a run: load what it names, check that it fits together, write or compare its record."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camdbench.core import provenance
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.core.registries import explainers, is_control, metrics, needs_of, protocol_of
from camdbench.core.settings import fields_of
from camdbench.datasets.samples import Dataset
from camdbench.explainers.common.layer_choice import checked_layers
from camdbench.models.classifier import Classifier
from camdbench.models.target_layers import list_layers
from camdbench.runner.config import Request, RunConfig
from camdbench.runner.plan import Unit, missing_units
from camdbench.runner.resources import Resources, first_readable
from camdbench.runner.run_directory import RunDirectory, RunRecord
from camdbench.runner.saved_maps import fingerprint

Models = dict[str, dict[str, Any]]  # facts by name as asked for


@dataclass(frozen=True)
class Run:
    """A run that is ready to be computed.

    Attributes:
        request: the checked configuration.
        resources: data set, models and maps.
        row_names: names of the models in rows.
        record: content of `run.json`; None if nothing is written.
        directory: run directory; None if nothing is written.
    """

    request: Request
    resources: Resources
    row_names: tuple[str, ...]
    record: RunRecord | None = None
    directory: RunDirectory | None = None

    def missing(self) -> tuple[list[Unit], int]:
        """The units that are not done yet, and the number of all parts."""
        asked, count = self.request, len(self.resources.images.ids)
        done = self.directory.is_done if self.directory is not None else lambda _: False
        units = missing_units(asked.models, self.row_names, asked.jobs, count, asked.chunk_size, done)
        return units, -(-count // asked.chunk_size) * len(asked.models) * len(asked.jobs)


def prepare(request: Request, resources: Resources | None = None, *, in_memory: bool = False) -> Run:
    """Load the models once, check that all fits together, and write the record or compare it with the run directory's.

    Args:
        request: the checked configuration.
        resources: objects that take the place of names.
        in_memory: whether nothing is written.

    Raises:
        UsageError: something does not exist or does not fit, or the run directory holds another run.
        CamdbenchError: no image can be read.
    """
    bound = (resources or Resources()).bind(request)
    models = {name: _facts_of(bound.classifier(name), bound) for name in request.models}
    names = tuple(facts["name"] for facts in models.values())
    if in_memory:
        return Run(request, bound, names)
    _refuse_equal_names(models)
    _ = bound.source  # saved maps that do not fit are refused before a folder exists
    record = _record(request, bound, models)
    root = Path(request.config.out or Path("runs", _automatic_name(record)))
    directory = RunDirectory(root)
    record = _write_or_compare(record, directory)
    return Run(request, bound, names, record, directory)


def session_facts(run: Run) -> dict[str, Any]:
    """Facts of this session's explainers for its file: a run grows by explainers, its record is written once."""
    assert run.record is not None
    execution = [item.name for item in fields_of(RunConfig) if item.setting.role == "execution"]
    return {
        "config": {name: _to_json(getattr(run.request.config, name)) for name in execution},
        "explainers": run.record.explainers,
        "plugins": run.record.plugins,
    }


def _facts_of(classifier: Classifier, resources: Resources) -> dict[str, Any]:
    """The facts of a model for the record, after checking that it fits the request and the data.

    Raises:
        UsageError: a layer cannot be explained, or the labels are not the model's classes.
    """
    request, dataset = resources.checked_request, resources.images
    height, width = first_readable(dataset).image.shape[-2:]
    made_before = resources.maps is not None or resources.map_source is not None
    asked = [spec for spec in request.explainers if not made_before and "layer" in needs_of(spec)]
    seen = list_layers(classifier, (height, width)) if asked else []
    layers = {str(spec): ", ".join(checked_layers(classifier, spec, None, seen)) for spec in asked}
    classes = classifier.count_classes((height, width))
    _check_classes(classifier, classes, request, dataset)
    return {"name": resources.row_name(classifier), "classifier": classifier, "layers": layers, "classes": classes}


def _check_classes(classifier: Classifier, classes: int, request: Request, dataset: Dataset) -> None:
    rule = request.target_rule
    if rule == "label" and max(dataset.labels) >= classes:
        raise UsageError(
            f"data set {request.dataset} has labels up to {max(dataset.labels)}, but model {classifier.name} has {classes} classes; "
            "list the network's classes in its order in classes.txt, or choose --target predicted"
        )
    if rule == "label":
        _warn_of_labels(classifier, classes, dataset, str(request.dataset))
    if rule.isdecimal() and int(rule) >= classes:
        raise UsageError(f"--target {rule}: model {classifier.name} has classes 0 to {classes - 1}")


def _warn_of_labels(classifier: Classifier, classes: int, dataset: Dataset, name: str) -> None:
    """Warn if a network has more classes than the data and other names for them; random weights know no classes."""
    alike = classifier.class_names[: len(dataset.classes)] == tuple(dataset.classes)
    if len(dataset.classes) < classes and not alike and not classifier.name.endswith("@random"):
        warnings.warn(
            f"data set {name} has {len(dataset.classes)} classes and model {classifier.name} has {classes}: label 0 is scored as "
            "the model's class 0, and so on; if these are others, list the network's classes in its order in classes.txt, "
            "or choose --target predicted",
            CamdbenchWarning,
            stacklevel=2,
        )


def _refuse_equal_names(models: Models) -> None:
    """Two checkpoints of one name would write into the same files."""
    places = dict[str, str]()
    for place, facts in models.items():
        if (other := places.setdefault(facts["name"], place)) != place:
            raise UsageError(f"--models {other},{place}: both are named {facts['name']} in rows; use a separate --out for each")


def _record(request: Request, resources: Resources, models: Models) -> RunRecord:
    dataset = resources.images
    kept = [item.name for item in fields_of(RunConfig) if item.setting.role != "execution"]
    return RunRecord(
        run="",
        config={name: _to_json(getattr(request.config, name)) for name in kept},
        dataset={"fingerprint": dataset.fingerprint(), "images": len(dataset.ids), "classes": list(dataset.classes)},
        models={facts["name"]: _model_record(name, facts) for name, facts in models.items()},
        code=provenance.code_hash(),
        maps=None if request.maps is None else fingerprint(request.maps),
        map_normalisation=request.map_normalisation,
        plugins=_plugins(request),
        explainers={
            str(spec): {
                "paper": explainers.get(spec.name).facts.paper if spec.name in explainers else "",
                "control": spec.name in explainers and is_control(spec),
                "layers": {facts["name"]: facts["layers"].get(str(spec)) for facts in models.values()},
            }
            for spec in request.explainers
        },
        metrics={str(spec): _metric_record(request, index) for index, spec in enumerate(request.metrics)},
        ids=list(dataset.ids),
        chunk_size=request.chunk_size,
    )


def _model_record(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    classifier: Classifier = facts["classifier"]
    return {
        "name": facts["name"],
        "weights_hash": classifier.weights_hash(),
        "layer": classifier.layer,
        "classes": facts["classes"],
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
    } | provenance.training_of(name)


def _metric_record(request: Request, index: int) -> dict[str, Any]:
    spec = request.metrics[index]
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
    """Hashes of the code of registered explainers and metrics that are not camdbench's own, by name."""
    asked = [(explainers, part.name) for spec in request.explainers for part in spec.walk() if part.name in explainers]
    asked += [(metrics, spec.name) for spec in request.metrics]
    found = {name: registry.plugin_hash(name) for registry, name in asked}
    return {name: code for name, code in found.items() if code is not None}


def _to_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _automatic_name(record: RunRecord) -> str:
    """A name that is the same for the same configuration, data, weights and code."""
    text = json.dumps(record.identity | {"explainers": record.config["explainers"]}, sort_keys=True)
    name = record.config["dataset"].partition("(")[0]
    return f"{name}-{record.config['split']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write_or_compare(record: RunRecord, directory: RunDirectory) -> RunRecord:
    """The record under the directory's name, written if the directory has none.

    Raises:
        UsageError: the directory holds a run of another configuration, other data, weights or code.
    """
    record = replace(record, run=directory.root.resolve().name)
    held = directory.read_record()
    if held is None:
        directory.write_record(record)
        return record
    theirs = held.identity
    for key, value in record.identity.items():
        if theirs.get(key, value) != value:  # a plug-in or model that one session did not use agrees with everything
            raise UsageError(
                f"--out {directory.root}: holds a run with {key} {theirs[key]}, not {value}; choose another --out or remove the folder"
            )
    return record
