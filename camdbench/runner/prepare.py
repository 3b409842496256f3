"""Prepare a run: load models and data, check that they fit, write the record or compare it with the existing one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.core.registries import needs_of
from camdbench.core.settings import fields_of
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Dataset
from camdbench.explainers.common.layer_choice import check_explainer, checked_layers
from camdbench.explainers.common.objective_fit import check_fit
from camdbench.explainers.common.own_objectives import check_objective
from camdbench.functional.targets import class_indices
from camdbench.metrics.common.curve_points import few_points
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import forget_looks, look_at
from camdbench.models.network_identity import same_probe
from camdbench.models.target_layers import layers_of_look
from camdbench.runner.class_labels import meet_classes
from camdbench.runner.config import Request, RunConfig
from camdbench.runner.record import Models, automatic_name, make_record, to_json
from camdbench.runner.resources import Resources
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord
from camdbench.runner.shards import WHOLE, Shard

CHUNK_SIZES = (32, 256)  # images in one part file of a small and of a large run; run.json keeps it
LARGE = 4096  # images; more are a large run


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

    def __str__(self) -> str:
        return f"{self.model}, images {self.start}-{self.stop - 1}"


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

    @property
    def chunk_size(self) -> int:
        """Images in one part file: as recorded; in memory as asked for, else by their number."""
        return chunk_size_of(self.request, self.resources) if self.record is None else self.record.chunk_size

    def chunks(self, shard: Shard = WHOLE) -> range:
        """Chunks of a shard."""
        return shard.chunks(-(-len(self.resources.images.ids) // self.chunk_size))

    def missing(self, shard: Shard = WHOLE) -> tuple[list[Unit], int]:
        """Return the unfinished units of a shard, and the number of all its parts."""
        asked, count = self.request, len(self.resources.images.ids)
        done = self.directory.is_done if self.directory is not None else lambda _: False
        units = missing_units(asked.models, self.row_names, asked.jobs, count, self.chunk_size, done, shard)
        return units, len(self.chunks(shard)) * len(asked.models) * len(asked.jobs)


def chunk_size_of(request: Request, resources: Resources) -> int:
    """Images in one part file of a new run: as asked for, else by their number."""
    return request.chunk_size or CHUNK_SIZES[len(resources.images.ids) > LARGE]


def missing_units(
    models: Sequence[str],
    row_names: Sequence[str],
    explainers: Sequence[Spec],
    images: int,
    chunk_size: int,
    is_done: Callable[[PartKey], bool],
    shard: Shard = WHOLE,
) -> list[Unit]:
    """Return the unfinished units, model by model.

    Args:
        models: requested names of the models.
        row_names: their names in the rows.
        explainers: all explainers of the run.
        images: number of images.
        chunk_size: images of a chunk.
        is_done: whether a part exists.
        shard: chunks to consider; default: all.
    """
    units = list[Unit]()
    for model, row_name in zip(models, row_names, strict=True):
        for chunk in shard.chunks(-(-images // chunk_size)):
            lacking = tuple(spec for spec in explainers if not is_done(PartKey(row_name, str(spec), chunk)))
            if lacking:
                start = chunk * chunk_size
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
    for name in () if in_memory else request.models:
        forget_looks(bound.classifier(name))  # the record also states changes that leave no trace in the network
    meet_classes(bound)
    models = {name: _facts_of(bound.classifier(name), bound) for name in request.models}
    names = tuple(facts["name"] for facts in models.values())
    for spec in request.explainers:
        bound.source(spec)  # refuses unsuitable saved maps before a folder is created
    if in_memory:
        return Run(request, bound, names)
    _refuse_equal_names(models)
    record = make_record(request, bound, models, few, chunk_size_of(request, bound))
    root = Path(request.config.out or Path("runs", automatic_name(record)))
    directory = RunDirectory(root)
    record = _write_or_compare(record, directory, bound)
    for line in bound.working.effect_lines(record.models):
        warnings.warn(line, CamdbenchWarning, stacklevel=2)
    return Run(request, bound, names, record, directory)


def session_facts(run: Run) -> dict[str, Any]:
    """Return the facts for the session file: execution options, explainers and plug-ins; the record itself is written once."""
    assert run.record is not None
    execution = [item.name for item in fields_of(RunConfig) if item.setting.role == "execution"]
    return {
        "config": {name: to_json(getattr(run.request.config, name)) for name in execution},
        "explainers": run.record.explainers,
        "plugins": run.record.plugins,
        "given": run.record.given,
    }


def _facts_of(classifier: Classifier, resources: Resources) -> dict[str, Any]:
    """Check that a model fits the request and the data; return its facts for the record.

    Raises:
        UsageError: a layer cannot be explained, labels exceed the model's classes, or an explainer does not explain the objective.
    """
    request, dataset = resources.checked_request, resources.images
    size = resources.image_size
    look = look_at(classifier, size)
    made_before = resources.maps is not None or resources.map_source is not None
    asked = [spec for spec in request.computed if not made_before and "layer" in needs_of(spec)]
    for spec in () if made_before else request.computed:
        check_explainer(classifier, spec, look.check.gradient_problem)
    about = check_objective(resources.explained_objective, look.check.classes)
    for spec in () if made_before else request.computed:
        check_fit(spec, resources.explained_objective, **about._asdict())
    seen = layers_of_look(classifier, look) if asked else []
    layers = {str(spec): ", ".join(checked_layers(classifier, spec, None, seen)) for spec in asked}
    _check_classes(classifier, look.check.classes, request, dataset)
    return {"name": resources.row_name(classifier), "classifier": classifier, "layers": layers, "look": look}


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


def _write_or_compare(record: RunRecord, directory: RunDirectory, resources: Resources) -> RunRecord:
    """Write the record if the directory has none, else compare it with the existing one; return it with the directory's name.

    The effect of options of speed is measured by the session that writes it.

    Raises:
        UsageError: the directory holds a run with another configuration, data, weights or code.
    """
    record = replace(record, run=directory.root.resolve().name)
    existing = directory.read_record()
    if existing is None:
        record = _with_effects(record, resources.working.effects())
        if directory.create_record(record):
            return record
        existing = directory.read_record()  # of a session that started at the same time
        assert existing is not None
    record = replace(record, chunk_size=existing.chunk_size)  # an older run may have another one
    _refuse_another_run(existing, record, directory.root)
    return _with_effects(record, {name: own.get("effect") for name, own in existing.models.items()})


def _with_effects(record: RunRecord, effects: Mapping[str, Any]) -> RunRecord:
    """Add the effect on the logits of each model that has one."""
    models = {name: {**own, "effect": effects[name]} if effects.get(name) else own for name, own in record.models.items()}
    return replace(record, models=models)


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
