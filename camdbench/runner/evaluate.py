"""`camdbench.evaluate`: score saliency maps in memory, without files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor

from camdbench.core.errors import UsageError, unknown
from camdbench.core.objective_names import scored_objective
from camdbench.core.registries import metrics as registry
from camdbench.core.registries import parse_metrics, protocol_of
from camdbench.core.settings import make_config
from camdbench.core.spec import Spec, split_specs
from camdbench.datasets.containers import to_planes
from camdbench.datasets.in_memory import InMemoryDataset, make_batch
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.own_objectives import read_objective
from camdbench.explainers.common.scored_objectives import classifier_of
from camdbench.functional.normalise import Normalisation
from camdbench.functional.targets import check_classes
from camdbench.metrics.common.own_metrics import own_metrics
from camdbench.models.network_check import check_network
from camdbench.models.zoo import to_classifier
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.executors import local
from camdbench.runner.prepare import prepare
from camdbench.runner.resources import Resources
from camdbench.runner.results import BatchResult, MetricCell, metric_cells
from camdbench.runner.saved_maps import GivenMaps
from camdbench.tables.aggregates import numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def evaluate(
    model: Any,
    images: Tensor,
    labels: Sequence[int | str] | Tensor | np.ndarray,
    saliency: Tensor | np.ndarray,
    metrics: Any = ("ad", "ag", "ai"),
    *,
    boxes: Sequence[Tensor] | None = None,
    masks: Tensor | None = None,
    normalisation: Normalisation = "none",
    objective: Any = "logit",
    batch_size: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """Score saliency maps from any source.

    Args:
        model: a `Classifier`, the name of a model, or whatever `camdbench.classifier` takes.
        images: (N, 3, H, W) in [0, 1], or bytes; also channels last, lists, Pillow images.
        labels: (N,) class indices, or N names of `class_names`, that were explained and are scored.
        saliency: (N, h, w), upsampled to the size of the images if smaller. A non-finite map gives rows with status `error`.
        metrics: metric specs; `all`: every metric of camdbench that the given maps and annotations allow; functions `f(inputs)`
            or `f(classifier, images, maps, targets)`, references `FILE.py:NAME`, or a sequence or mapping of these.
        boxes: N tensors (n, 4) xyxy in pixels, ends exclusive; needed by localisation metrics.
        masks: (N, H, W) bool, True on the object; needed by segmentation metrics.
        normalisation: normalisation of the maps to [0, 1]: none, range, max or sigmoid. With none, values must be in [0, 1].
        objective: what the maps explain, for metrics with `scored_output=objective`: a name, a function of the logits (C,) of one image,
            or a reference `FILE.py:NAME`, as for `camdbench.run`. `similarity` and `region` score the classifier that is made for
            them, of which `labels` name the class.
        batch_size: images per batch; on a CPU more than 10 of 224 pixels gain no speed, see `reuse_freed_memory`.
        seed: seed of metrics that draw random numbers.

    Returns:
        One row per image and metric, image by image: image, target, metric, protocol, value, unit, status, reason.
        Values are float64 in the metric's unit. `.attrs["numbers"]` holds the table value of each metric, by the reduction of its
        protocol (the mean over images, or for instance the maximum over thresholds of MaxBoxAcc), with `n`, `n_undefined`,
        `n_not_applicable` and `n_failed`. `.attrs["left_out"]` maps each metric that `all` omits to its missing input.

    Raises:
        UsageError: invalid shape, value or name, or a metric lacks an input.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size = {batch_size}: expected 1 or more")
    with own_metrics(metrics) as chosen:
        return _evaluate(model, images, labels, saliency, chosen, boxes, masks, normalisation, objective, batch_size, seed)


def _evaluate(
    model: Any,
    images: Tensor,
    labels: Sequence[int | str] | Tensor | np.ndarray,
    saliency: Tensor | np.ndarray,
    metrics: str | Sequence[str],
    boxes: Sequence[Tensor] | None,
    masks: Tensor | None,
    normalisation: Normalisation,
    objective: Any,
    batch_size: int,
    seed: int,
) -> pd.DataFrame:
    import pandas as pd

    classifier = to_classifier(model)
    explained, _ = read_objective(objective)
    if len(explained.functions) > 1:
        raise UsageError(f"objective: {len(explained.functions)} functions; give one, for all images")
    stated = None
    if (scored := scored_objective(objective)) is not None:
        classifier, stated = classifier_of(classifier, scored)
    batch = make_batch(images, labels=labels, boxes=boxes, masks=masks, class_names=classifier.class_names)
    specs, left_out = _select_metrics(metrics, batch)
    raw = _check_saliency(to_planes(saliency, len(batch), "saliency"), normalisation)
    classes = check_network(classifier, (batch.images.shape[-2], batch.images.shape[-1])).classes
    check_classes(batch.labels, classes, "labels: an image has label")
    if stated is not None and bool((batch.labels != stated).any()):
        raise UsageError(f"objective = {explained.name}: states what is explained; give labels = [{stated}] * {len(batch)}")
    source = GivenMaps(raw, normalisation)
    resources = Resources({"model": classifier}, InMemoryDataset(batch), map_source=source, objective=explained)
    names = tuple(map(str, specs))
    given = {"explainers": ("given",), "metrics": names, "batch_size": batch_size, "seed": seed, "workers": 0, "save_maps": "none"}
    given["objective"] = explained.name
    config = make_config(RunConfig, given)
    run = prepare(replace(check_config(config, resources), chunk_size=len(batch)), resources, in_memory=True)
    results = [result for done in local(run, run.missing()[0]) for result in done.results]
    found = pd.DataFrame(_rows(results, specs))
    cells = metric_cells(results, names, batch.ids, batch.labels.numpy())
    found.attrs["left_out"] = left_out
    found.attrs["numbers"] = {str(spec): _number(spec, cells[str(spec)]) for spec in specs}
    return found


def _number(spec: Spec, cell: MetricCell) -> dict[str, float]:
    return numbers_of(spec, cell.data, cell.undefined, cell.not_applicable)


def _rows(results: Sequence[BatchResult], specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """Return rows by image, then by metric, independent of the batch size."""
    facts = {str(spec): (place, protocol_of(spec).name, registry.get(spec.name).facts.unit) for place, spec in enumerate(specs)}
    rows = [row for result in results for row in _rows_of(result, facts)]
    return sorted(rows, key=lambda row: (row["image"], facts[row["metric"]][0]))


def _rows_of(result: BatchResult, facts: Mapping[str, tuple[int, str, str]]) -> Iterator[dict[str, Any]]:
    for metric, own in result.scores.items():
        for image, target, value, status, reason in zip(result.ids, result.targets, own.values, own.status, own.reasons, strict=True):
            columns = {"image": int(image), "target": target, "metric": metric, "protocol": facts[metric][1], "value": value}
            yield columns | {"unit": facts[metric][2], "status": status, "reason": reason}


def _select_metrics(metrics: str | Sequence[str], batch: Batch) -> tuple[tuple[Spec, ...], dict[str, str]]:
    """Select the metrics; also return the missing inputs of metrics that `all` omits.

    Raises:
        UsageError: a named metric lacks an input.
    """
    gives = [name for name, given in (("boxes", batch.boxes), ("masks", batch.masks)) if given is not None]
    specs = parse_metrics(metrics, gives, explains=False)
    for spec in specs:
        if why := _missing_input(spec, gives):
            raise UsageError(f"metric {spec} needs {why}")
    texts = [metrics] if isinstance(metrics, str) else metrics
    everything = any(part.strip() == "all" for text in texts for part in split_specs(text))
    left = parse_metrics(metrics, ("boxes", "masks")) if everything else ()
    return specs, {str(spec): f"needs {why}" for spec in left if (why := _missing_input(spec, gives))}


def _missing_input(spec: Spec, gives: Sequence[str]) -> str:
    """Name the missing input of a metric and the fix; empty if none is missing."""
    for need in registry.get(spec.name).facts.needs:
        if need == "explainer":
            return "an explainer: there is none behind given maps"
        if need in ("boxes", "masks") and need not in gives:
            return f"{need}: give {need}="
    return ""


def _check_saliency(saliency: Tensor, normalisation: Normalisation) -> Tensor:
    if normalisation not in get_args(Normalisation):
        raise unknown("normalisation", normalisation, get_args(Normalisation))
    with torch.inference_mode(mode=False):
        raw = saliency.detach().clone().float()
    known = raw[raw.isfinite()] if raw.isfinite().any() else raw  # a non-finite map is an error of its image only
    if normalisation == "none" and not (known.min() >= 0 and known.max() <= 1):
        raise UsageError(f"saliency has values from {known.min():.3g} to {known.max():.3g}; expected [0, 1], or give normalisation='range'")
    return raw
