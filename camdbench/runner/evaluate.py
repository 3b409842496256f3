"""`camdbench.evaluate`: metrics for maps that somebody else made, without files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from camdbench.core.catalogue import NO_EXPLAINER, judges_model, parse_metrics, protocol_of
from camdbench.core.catalogue import metrics as registry
from camdbench.core.errors import UsageError, unknown
from camdbench.core.spec import Spec, parse_specs
from camdbench.datasets.memory import batch_in_memory
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Saliency, finish
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import Normalisation
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import as_classifier
from camdbench.runner.judge import Judged, judge
from camdbench.runner.numbers import numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_GIVEN = Spec("given")


def evaluate(
    model: Classifier | str,
    images: Tensor,
    labels: Sequence[int] | Tensor,
    saliency: Tensor | np.ndarray,
    metrics: str | Sequence[str] = ("ad", "ag", "ai"),
    *,
    boxes: Sequence[Tensor] | None = None,
    masks: Tensor | None = None,
    normalisation: Normalisation = "none",
    batch_size: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge saliency maps, whoever made them.

    Args:
        model: a `Classifier`, or the name of one in the zoo.
        images: (N, 3, H, W) in [0, 1].
        labels: N classes that were explained and are scored.
        saliency: (N, h, w); up-sampled to the images where it is smaller. A map that is not finite gives rows with an error.
        metrics: specs of metrics; `all` is every one of our own that the maps and annotations allow.
        boxes: N tensors (n, 4) xyxy in pixels, the ends exclusive, for metrics that need them.
        masks: (N, H, W) bool, True on the object, likewise.
        normalisation: what is done to the maps first: none, range, max or sigmoid. With none they must be in [0, 1].
        batch_size: images at a time.
        seed: seed of metrics that draw random numbers.

    Returns:
        One row per image and metric, image by image: image, target, metric, protocol, value, unit, status, reason.
        `.attrs["numbers"]` holds for each metric the number that a table would give, by its protocol's reduction: the mean over
        images, or what the mean of the rows is not, as the maximum of means of MaxBoxAcc; with `n`, `n_undefined`, `n_failed`.
        `.attrs["left_out"]` says of each metric that `all` leaves out what it needs.

    Raises:
        UsageError: shapes, values or names do not fit, or a metric needs what is not there.
    """
    import pandas as pd

    if batch_size < 1:
        raise UsageError(f"batch_size={batch_size}: expected 1 or more")
    classifier, batch = as_classifier(model), batch_in_memory(images, labels=labels, boxes=boxes, masks=masks)
    specs, left_out = _chosen(metrics, batch)
    raw = _checked(torch.as_tensor(saliency), batch, normalisation)
    explainers = [_GIVEN] * (not all(map(judges_model, specs))) + [NO_EXPLAINER] * any(map(judges_model, specs))
    rows, parts = list[dict[str, object]](), dict[int, list[Judged]]()
    with torch.inference_mode(mode=False), classifier.frozen():
        for start in range(0, len(batch), batch_size):
            part = batch.part(start, start + batch_size).to(classifier.device)
            own = raw[start : start + batch_size].to(classifier.device)

            def given(trace: Trace, spec: Spec, own: Tensor = own) -> Saliency:
                del spec
                return finish(own, trace.size, normalisation)

            found = judge(classifier, part, explainers, specs, target=part.labels, seed=seed, source=given)
            parts[start] = [replace(judged, raw=None) for judged in found.values()]  # the maps are no longer needed
            verdicts = [verdict for judged in found.values() for verdict in judged.verdicts]
            rows += [
                {
                    "image": start + verdict.image,
                    "target": verdict.target,
                    "metric": str(verdict.metric),
                    "protocol": protocol_of(verdict.metric).name,
                    "value": verdict.value,
                    "unit": registry.get(verdict.metric.name).facts.unit,
                    "status": verdict.status,
                    "reason": verdict.reason,
                }
                for verdict in verdicts
            ]
    order = {str(spec): place for place, spec in enumerate(specs)}
    rows.sort(key=lambda row: (row["image"], order[str(row["metric"])]))  # whatever the batch size was
    found = pd.DataFrame(rows)
    found.attrs["left_out"] = left_out
    found.attrs["numbers"] = numbers_of(specs, parts, batch.labels.numpy())
    return found


def _chosen(metrics: str | Sequence[str], batch: Batch) -> tuple[tuple[Spec, ...], dict[str, str]]:
    """The metrics to judge by, and what `all` leaves out: name -> why.

    Raises:
        UsageError: one that is named needs what is not there.
    """
    gives = [name for name, held in (("boxes", batch.boxes), ("masks", batch.masks)) if held is not None]
    specs = parse_metrics(metrics, gives, explains=False)
    for spec in specs:
        if why := _lacking(spec, gives):
            raise UsageError(f"metric {spec} needs {why}")
    texts = [metrics] if isinstance(metrics, str) else metrics
    everything = any(str(spec) == "all" for text in texts for spec in parse_specs(text))
    left = parse_metrics("all", ("boxes", "masks")) if everything else ()
    return specs, {str(spec): f"needs {why}" for spec in left if (why := _lacking(spec, gives))}


def _lacking(spec: Spec, gives: Sequence[str]) -> str:
    """What a metric needs and the maps do not come with, and what to do about it; empty where there is nothing."""
    for need in registry.get(spec.name).facts.needs:
        if need == "explainer":
            return "an explainer: there is none behind given maps"
        if need in ("boxes", "masks") and need not in gives:
            return f"{need}: give {need}="
    return ""


def _checked(saliency: Tensor, batch: Batch, normalisation: Normalisation) -> Tensor:
    if normalisation not in get_args(Normalisation):
        raise unknown("normalisation", normalisation, get_args(Normalisation))
    if saliency.ndim != 3 or len(saliency) != len(batch) or not saliency.numel():
        raise UsageError(f"saliency has shape {tuple(saliency.shape)} for {len(batch)} images; expected ({len(batch)}, h, w)")
    with torch.inference_mode(mode=False):
        raw = saliency.detach().clone().float()
    known = raw[raw.isfinite()] if raw.isfinite().any() else raw  # a map that is not finite is an error of its image alone
    if normalisation == "none" and not (known.min() >= 0 and known.max() <= 1):
        raise UsageError(f"saliency has values from {known.min():.3g} to {known.max():.3g}; expected [0, 1], or give normalisation='range'")
    return raw
