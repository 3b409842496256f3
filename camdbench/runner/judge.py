"""One batch: explained by every explainer, every map judged by every metric; no files, no progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camdbench.core.catalogue import NO_EXPLAINER, judges_model
from camdbench.core.catalogue import metrics as metric_registry
from camdbench.core.errors import CamdbenchError, NotApplicable
from camdbench.core.rows import SCORED, Status
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Saliency, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.usage import Usage
from camdbench.functional.seeds import generator_for
from camdbench.metrics.inputs import Change, Explain, ExplainOthers, MetricInputs, SaliencyMaps
from camdbench.metrics.result import Curve, MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.devices import clock
from camdbench.runner.others import Others

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")  # PyTorch's CPU allocator says it in words only


@dataclass(frozen=True)
class Verdict:
    """One value, or the reason why there is none.

    Attributes:
        image: position in the batch.
        target: class that was explained; -1 where it could not be told.
        metric: canonical spec.
        value: the value; NaN where there is none.
        status: as in Row.
        reason: as in Row.
    """

    image: int
    target: int
    metric: Spec
    value: float
    status: Status
    reason: str


class Points(NamedTuple):
    """One part of what a metric found on the images that it has a value for.

    Attributes:
        metric: canonical spec.
        part: name of the part.
        images: positions in the batch.
        curve: its places (K,) and values (images, K).
    """

    metric: Spec
    part: str
    images: list[int]
    curve: Curve


@dataclass
class Judged:
    """What one explainer got on one batch.

    Attributes:
        verdicts: one per image and metric.
        points: what stands behind the values, where a metric gives more than one number of an image.
        costs: by stage: trace, explain, metrics.
        raw: (B, h, w) raw maps, None where there are none.
    """

    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    points: list[Points] = field(default_factory=list["Points"])
    costs: dict[str, Usage] = field(default_factory=dict[str, Usage])
    raw: Tensor | None = None


MapSource = Callable[[Trace, Spec], Saliency]  # an explainer's maps: made now, or read from where they were saved


def metrics_for(explainer: Spec, metrics: Sequence[Spec]) -> tuple[Spec, ...]:
    """The metrics that an explainer's maps are judged by, or those that judge the model alone."""
    return tuple(spec for spec in metrics if judges_model(spec) == (explainer == NO_EXPLAINER))


def judge(
    classifier: Classifier,
    batch: Batch,
    explainers: Sequence[Spec],
    metrics: Sequence[Spec],
    *,
    target: str | Tensor,
    seed: int,
    source: MapSource = saliency,
    others: Others | None = None,
) -> dict[Spec, Judged]:
    """Explain and score one batch; what `judge_in_turn` gives, all at once."""
    return dict(judge_in_turn(classifier, batch, explainers, metrics, target=target, seed=seed, source=source, others=others))


def judge_in_turn(
    classifier: Classifier,
    batch: Batch,
    explainers: Sequence[Spec],
    metrics: Sequence[Spec],
    *,
    target: str | Tensor,
    seed: int,
    source: MapSource = saliency,
    others: Others | None = None,
) -> Iterator[tuple[Spec, Judged]]:
    """Explain and score one batch, explainer by explainer; the passes of the shared trace are made once.

    Args:
        classifier: the model, frozen.
        batch: the images, on the model's device.
        explainers: what explains them; `none` for the metrics that judge the model alone.
        metrics: all metrics of the run.
        target: rule of the explained class, or classes (B,).
        seed: seed of methods that draw random numbers.
        source: where the maps come from.
        others: the images that metrics compare with, where there is a data set.

    Raises:
        UsageError: the target rule cannot be met.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    trace = Trace(classifier, batch, target=target, seed=seed)
    for spec in explainers:
        yield spec, _judged(trace, spec, metrics_for(spec, metrics), source, others)


def _judged(trace: Trace, spec: Spec, metrics: Sequence[Spec], source: MapSource, others: Others | None) -> Judged:
    judged = Judged()
    if spec == NO_EXPLAINER:
        _score(trace, _evidence(trace), None, metrics, judged)
        return judged
    try:
        maps = _explained(trace, spec, judged, source)
    except NotApplicable as error:
        judged.verdicts = _refusals(trace, metrics, "not_applicable", str(error))
    except Exception as error:  # an explainer's fault costs its own rows, never the run
        if isinstance(error, CamdbenchError) or is_out_of_memory(error):
            raise
        judged.verdicts = _refusals(trace, metrics, "error", _said(error))
    else:
        judged.raw = maps.raw
        _score(trace, _evidence_of_maps(trace, spec, maps, others), maps, metrics, judged)
    return judged


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the batch was too large."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in _CPU_OUT_OF_MEMORY)


def _explained(trace: Trace, spec: Spec, judged: Judged, source: MapSource) -> Saliency:
    trace.usage.usage_since_last_call()  # forget what others have read
    passes, shared, start = trace.classifier.passes, trace.usage.spent(), clock(trace.images.device)
    maps = source(trace, spec)
    whole = Usage(trace.classifier.passes - passes, clock(trace.images.device) - start)
    judged.costs["explain"] = whole - (trace.usage.spent() - shared)
    judged.costs["trace"] = trace.usage.usage_since_last_call()
    return maps


def _score(trace: Trace, evidence: MetricInputs, maps: Saliency | None, metrics: Sequence[Spec], judged: Judged) -> None:
    """Add the verdicts of all metrics on the maps of one explainer, or on the model alone where there are none."""
    passes, start = trace.classifier.passes, clock(trace.images.device)
    for spec in metrics:
        try:
            entry = metric_registry.get(spec.name)
            found = _measured(metric_registry.load(spec.name)(evidence, **entry.arguments(spec)), len(evidence))
        except NotApplicable as error:
            judged.verdicts += _refusals(trace, [spec], "not_applicable", str(error))
        except Exception as error:
            if isinstance(error, CamdbenchError) or is_out_of_memory(error):
                raise
            judged.verdicts += _refusals(trace, [spec], "error", _said(error))
        else:
            verdicts = _verdicts(trace, spec, maps, found, entry.facts.undefined)
            scored = [verdict.image for verdict in verdicts if verdict.status in SCORED]
            judged.verdicts += verdicts
            judged.points += [Points(spec, part, scored, Curve(curve.x, curve.y[scored])) for part, curve in found.curves.items()]
    judged.costs["metrics"] = Usage(trace.classifier.passes - passes, clock(trace.images.device) - start)


def _evidence_of_maps(trace: Trace, explainer: Spec, maps: Saliency, others: Others | None) -> MetricInputs:
    found = None if others is None else _explain_others(trace, explainer, others)
    return _evidence(trace, saliency=maps.maps, raw=maps.raw, explainer=_explain_again(trace, explainer), others=found)


def _evidence(trace: Trace, **of_maps: Any) -> MetricInputs:
    return MetricInputs(
        trace.classifier,
        trace.images,
        trace.targets,
        logits=trace.logits,
        boxes=trace.batch.boxes,
        masks=trace.batch.masks,
        labels=trace.batch.labels,
        present=trace.batch.present,
        class_masks=trace.batch.class_masks,
        ids=trace.batch.ids,
        seed=trace.seed,
        features=trace,
        **of_maps,
    )


def _explain_again(trace: Trace, spec: Spec) -> Explain:
    def explain(images: Tensor, targets: Tensor | None, classifier: Classifier | None) -> Saliency:
        return saliency(trace.of(replace(trace.batch, images=images), targets=targets, classifier=classifier), spec)

    return explain


def _explain_others(trace: Trace, spec: Spec, others: Others) -> ExplainOthers:
    def explain(count: int, purpose: str, change: Change) -> Sequence[tuple[tuple[str, ...], SaliencyMaps]]:
        def make() -> Sequence[tuple[tuple[str, ...], SaliencyMaps]]:
            return [(batch.ids, changed(batch.to(trace.images.device))) for batch in others.batches(count, len(trace.images))]

        def changed(batch: Batch) -> SaliencyMaps:
            as_is = Trace(trace.classifier, batch, target=others.target, seed=trace.seed)
            images = change(batch.images, [generator_for(trace.seed, name, purpose) for name in batch.ids])
            return saliency(as_is.of(replace(batch, images=images), targets=as_is.targets), spec)

        return others.known((trace.classifier.name, spec, count, purpose), make)

    return explain


def _measured(found: Tensor | MetricResult, images: int) -> MetricResult:
    measured = found if isinstance(found, MetricResult) else MetricResult(found)
    if tuple(measured.values.shape) != (images,):
        raise ValueError(f"the metric returned values of shape {tuple(measured.values.shape)} for {images} images")
    return measured


def _verdicts(trace: Trace, spec: Spec, maps: Saliency | None, found: MetricResult, undefined: str) -> list[Verdict]:
    finite = trace.logits.isfinite().all(1).tolist()
    nowhere = [False] * len(finite) if found.undefined is None else found.undefined.tolist()
    verdicts = list[Verdict]()
    for image, (value, target) in enumerate(zip(found.values.tolist(), trace.targets.tolist(), strict=True)):
        status, reason = ("ok", "") if maps is None else (maps.status[image], maps.reasons[image])
        if not finite[image]:
            status, reason = "error", "the network's logits are not finite"
        elif status != "error" and nowhere[image]:
            status, reason = "undefined", undefined or "the metric has no meaning for this image"
        elif status != "error" and isnan(value):
            status, reason = "error", "the metric has no value: the network's logits on altered images are not finite"
        verdicts.append(Verdict(image, target, spec, value if status in SCORED else float("nan"), status, reason))
    return verdicts


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _refusals(trace: Trace, metrics: Sequence[Spec], status: Status, reason: str) -> list[Verdict]:
    targets = trace.targets.tolist()
    return [Verdict(image, target, spec, float("nan"), status, reason) for spec in metrics for image, target in enumerate(targets)]
