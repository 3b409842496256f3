"""A session: open what a request names, do what is missing, keep the record."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from camdbench.core import provenance
from camdbench.core.catalogue import datasets, explainers, is_control, metrics, needs_of, protocol_of
from camdbench.core.errors import CamdbenchError, CamdbenchWarning, SampleError, UsageError
from camdbench.datasets.loading import default_workers
from camdbench.datasets.samples import Dataset
from camdbench.explainers.common.layer_choice import checked_layers
from camdbench.models.classifier import Classifier, Passes
from camdbench.models.devices import pick_device
from camdbench.models.target_layers import survey
from camdbench.runner.execute import Outcome, Worker
from camdbench.runner.executors import executor
from camdbench.runner.plan import missing_units
from camdbench.runner.progress import Progress
from camdbench.runner.request import CHUNK, Request
from camdbench.runner.saved_maps import fingerprint
from camdbench.runner.store import Store
from camdbench.runner.trained import training_of

_FREE = {"explainers", "data_root", "weights", "maps", "ids"}  # may differ between the sessions of a run: hashes stand for the paths


def carry_out(
    request: Request,
    *,
    out: str | Path | None,
    batch_size: int,
    device: str,
    download: bool,
    where: str,
    progress: Progress,
    workers: int | None = None,
) -> Path:
    """Do what is missing of a request and return the run directory.

    Raises:
        UsageError: something the request names does not exist or does not fit, or `out` holds another run.
        CamdbenchError: the run cannot go on.
    """
    if batch_size < 1:
        raise UsageError(f"--batch-size {batch_size}: expected at least 1")
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: expected 0 or more processes")
    execute = executor(where)
    worker = Worker(request, Path(), batch_size, str(pick_device(device)), download)
    models = {name: _inspected(worker.classifier(name), request, worker.dataset) | training_of(name) for name in request.models}
    _refuse_namesakes(models)
    count = len(worker.dataset.ids)
    worker.workers = default_workers(count, on_disk=datasets.get(request.dataset.name).facts.on_disk) if workers is None else workers
    _ = worker.source  # saved maps that do not fit are refused before a folder says that the run exists
    record = _record(request, worker.dataset, count, models)
    worker.root = Path(out) if out is not None else Path("runs", _auto_name(record))
    record = _merged(record, worker.store)
    row_names = [models[name]["name"] for name in request.models]
    units = missing_units(request.models, row_names, request.jobs, count, CHUNK, worker.store.is_done)
    jobs, missing = -(-count // CHUNK) * len(row_names) * len(request.jobs), sum(len(unit.explainers) for unit in units)
    progress.start(worker.root, jobs, jobs - missing)
    if units:
        _work(execute(worker, units), record, worker.store, progress)
    worker.store.tidy()
    return worker.root


def _work(outcomes: Iterator[Outcome], record: dict[str, Any], store: Store, progress: Progress) -> None:
    """Draw on the outcomes, which executes the units, and keep the record of this session, also of one that breaks off."""
    session: dict[str, Any] = {
        "start": provenance.now(),
        "end": None,
        "command": provenance.command_line(),
        "versions": provenance.versions(),
        "git": provenance.git_revision(),
        "jobs": 0,
        "passes": asdict(Passes()),
    }
    record["sessions"].append(session)
    store.write_record(record)
    spent = Passes()
    try:
        for outcome in outcomes:
            unit = outcome.unit
            spent += outcome.passes
            session["jobs"] += len(unit.explainers)
            session |= {"passes": asdict(spent), "batch_size": outcome.batch_size, "machine": outcome.machine}
            session["boxes_lost"] = session.get("boxes_lost", 0) + outcome.boxes_lost
            progress.advance(len(unit.explainers), f"{unit.model}, images {unit.start}-{unit.stop - 1}")
    finally:
        session["end"] = provenance.now()
        store.write_record(record)


def _inspected(classifier: Classifier, request: Request, dataset: Dataset) -> dict[str, Any]:
    """The facts of a model for the record, after making sure that it fits the request and the data.

    Raises:
        UsageError: a layer cannot be explained, or the labels are not the model's classes.
    """
    sample = _first_readable(dataset)
    size = (sample.shape[-2], sample.shape[-1])
    asked = [spec for spec in request.explainers if request.maps is None and "layer" in needs_of(spec)]
    seen = survey(classifier, size) if asked else []
    layers = {str(spec): ", ".join(checked_layers(classifier, spec, None, seen)) for spec in asked}
    classes = classifier.count_classes(size)
    if request.target_rule == "label" and max(dataset.labels) >= classes:
        raise UsageError(
            f"data set {request.dataset} has labels up to {max(dataset.labels)}, but model {classifier.name} has {classes} classes; "
            "list the network's classes in its order in classes.txt, or choose --target predicted"
        )
    if request.target_rule == "label":
        _doubt_labels(classifier, classes, dataset, str(request.dataset))
    if request.target_rule.isdecimal() and int(request.target_rule) >= classes:
        raise UsageError(f"--target {request.target_rule}: model {classifier.name} has classes 0 to {classes - 1}")
    return {
        "name": classifier.name,
        "weights_hash": classifier.weights_hash(),
        "layer": classifier.layer,
        "layers": layers,
        "classes": classes,
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
    }


def _doubt_labels(classifier: Classifier, classes: int, dataset: Dataset, name: str) -> None:
    """Warn where a network has more classes than the data, and they are not known to begin alike; random weights know no classes."""
    alike = classifier.class_names[: len(dataset.classes)] == tuple(dataset.classes)
    if len(dataset.classes) < classes and not alike and not classifier.name.endswith("@random"):
        warnings.warn(
            f"data set {name} has {len(dataset.classes)} classes and model {classifier.name} has {classes}: label 0 is scored as "
            "the model's class 0, and so on; if these are others, list the network's classes in its order in classes.txt, "
            "or choose --target predicted",
            CamdbenchWarning,
            stacklevel=2,
        )


def _refuse_namesakes(models: dict[str, dict[str, Any]]) -> None:
    """Two checkpoints of one name would write into the same files."""
    places = dict[str, str]()
    for place, facts in models.items():
        if (other := places.setdefault(facts["name"], place)) != place:
            raise UsageError(f"--models {other},{place}: both are called {facts['name']} in rows; run them into folders of their own")


def _first_readable(dataset: Dataset) -> torch.Tensor:
    reason = ""
    for index in range(len(dataset.ids)):
        try:
            return dataset[index].image
        except SampleError as error:
            reason = str(error)
    raise CamdbenchError(f"none of the {len(dataset.ids)} images can be read; the last: {reason}")


def _record(request: Request, dataset: Dataset, count: int, models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    judges = {spec: (metrics.get(spec.name).facts, protocol_of(spec)) for spec in request.metrics}
    return {
        "schema": 1,
        "run": "",
        "request": request.described(),
        "dataset": {"fingerprint": dataset.fingerprint(), "images": count, "classes": list(dataset.classes)},
        "models": {facts["name"]: {key: value for key, value in facts.items() if key != "layers"} for facts in models.values()},
        "code": provenance.code_hash(),
        "maps": None if request.maps is None else fingerprint(request.maps),
        "plugins": _plugins(request),
        "explainers": {
            str(spec): {
                "paper": explainers.get(spec.name).facts.paper if spec.name in explainers else "",
                "control": spec.name in explainers and is_control(spec),
                "layers": {facts["name"]: facts["layers"].get(str(spec)) for facts in models.values()},
            }
            for spec in request.explainers
        },
        "metrics": {
            str(spec): {
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
            for spec, (facts, protocol) in judges.items()
        },
        "ids": list(dataset.ids[:count]),
        "sessions": [],
    }


def _plugins(request: Request) -> dict[str, str]:
    """Hashes of the code of explainers and metrics that others wrote, by name."""
    asked = [(explainers, part.name) for spec in request.explainers for part in spec.walk() if part.name in explainers]
    asked += [(metrics, spec.name) for spec in request.metrics]
    found = {name: registry.foreign_code(name) for registry, name in asked}
    return {name: code for name, code in found.items() if code is not None}


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree before parts of two sessions may stand side by side."""
    asked = {key: value for key, value in record["request"].items() if key not in _FREE}
    weights = {f"weights of {name}": facts["weights_hash"] for name, facts in record["models"].items()}
    plugins = {f"code of {name}": code for name, code in record["plugins"].items()}
    maps = {} if record.get("maps") is None else {"maps": record["maps"]}
    images = hashlib.sha256("\n".join(record["ids"]).encode()).hexdigest()[:16]
    data = {"data": record["dataset"]["fingerprint"], "images": images, "code": record["code"]}
    return asked | data | maps | weights | plugins


def _auto_name(record: dict[str, Any]) -> str:
    """A name that is the same for the same request, data, weights and code."""
    text = json.dumps(_identity(record) | {"explainers": record["request"]["explainers"]}, sort_keys=True)
    split = record["request"]["split"]
    name = record["request"]["dataset"].partition("(")[0]
    return f"{name}-{split}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _merged(record: dict[str, Any], store: Store) -> dict[str, Any]:
    """The record to write: the one that is there, with the explainers that have come.

    Raises:
        UsageError: the folder holds a run of another request, other data, weights or code.
    """
    record["run"] = store.root.resolve().name
    held = store.read_record()
    if held is None:
        return record
    mine, theirs = _identity(record), _identity(held)
    for key, value in mine.items():
        if theirs.get(key, value) != value:  # what one session did not use, a plug-in or a model, stands in nobody's way
            raise UsageError(
                f"--out {store.root} holds a run with {key} {theirs[key]}, not {value}; choose another --out or remove the folder"
            )
    held["explainers"] |= record["explainers"]
    held["plugins"] |= record["plugins"]
    held["request"]["explainers"] = list(held["explainers"])
    return held
