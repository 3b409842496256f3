"""One batch: explained by every explainer, every map judged by every metric; no files, no progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan

import torch
from torch import Tensor

from camdbench.core.catalogue import metrics as metric_registry
from camdbench.core.errors import CamdbenchError, NotApplicable
from camdbench.core.rows import Status
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.saliency import Saliency, saliency
from camdbench.explainers.trace import Cost, Trace
from camdbench.metrics.evidence import Evidence
from camdbench.models.classifier import Classifier
from camdbench.models.devices import clock

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


@dataclass
class Judged:
    """What one explainer got on one batch.

    Attributes:
        verdicts: one per image and metric.
        costs: by stage: trace, explain, metrics.
        raw: (B, h, w) raw maps, None where there are none.
    """

    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    costs: dict[str, Cost] = field(default_factory=dict[str, Cost])
    raw: Tensor | None = None


def judge(
    classifier: Classifier, batch: Batch, explainers: Sequence[Spec], metrics: Sequence[Spec], *, target: str, seed: int
) -> dict[Spec, Judged]:
    """Explain and score one batch; the passes of the shared trace are made once.

    Raises:
        UsageError: the target rule cannot be met.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    trace = Trace(classifier, batch, target=target, seed=seed)
    found = dict[Spec, Judged]()
    for spec in explainers:
        judged = Judged()
        try:
            maps = _explained(trace, spec, judged)
        except NotApplicable as error:
            judged.verdicts = _refusals(trace, metrics, "not_applicable", str(error))
        except Exception as error:  # an explainer's fault costs its own rows, never the run
            if isinstance(error, CamdbenchError) or is_out_of_memory(error):
                raise
            judged.verdicts = _refusals(trace, metrics, "error", _said(error))
        else:
            judged.raw = maps.raw
            judged.verdicts = _scored(trace, maps, metrics, judged)
        found[spec] = judged
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the batch was too large."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in _CPU_OUT_OF_MEMORY)


def _explained(trace: Trace, spec: Spec, judged: Judged) -> Saliency:
    trace.ledger.reads()  # forget what others have read
    passes, shared, start = trace.classifier.passes, trace.ledger.spent(), clock(trace.images.device)
    maps = saliency(trace, spec)
    whole = Cost(trace.classifier.passes - passes, clock(trace.images.device) - start)
    judged.costs["explain"] = whole - (trace.ledger.spent() - shared)
    judged.costs["trace"] = trace.ledger.reads()
    return maps


def _scored(trace: Trace, maps: Saliency, metrics: Sequence[Spec], judged: Judged) -> list[Verdict]:
    targets = trace.targets
    evidence = Evidence(
        trace.classifier,
        trace.images,
        targets,
        maps.maps,
        raw=maps.raw,
        logits=trace.logits,
        boxes=trace.batch.boxes,
        masks=trace.batch.masks,
    )
    seen = trace.logits.isfinite().all(1).tolist()
    passes, start = trace.classifier.passes, clock(trace.images.device)
    verdicts = list[Verdict]()
    for spec in metrics:
        try:
            values = metric_registry.load(spec.name)(evidence, **spec.arguments).tolist()
        except Exception as error:
            if isinstance(error, CamdbenchError) or is_out_of_memory(error):
                raise
            verdicts += _refusals(trace, [spec], "error", _said(error))
            continue
        for image, (value, target) in enumerate(zip(values, targets.tolist(), strict=True)):
            status, reason = _status(maps, image, value, finite=seen[image])
            verdicts.append(Verdict(image, target, spec, float("nan") if status == "error" else value, status, reason))
    judged.costs["metrics"] = Cost(trace.classifier.passes - passes, clock(trace.images.device) - start)
    return verdicts


def _status(maps: Saliency, image: int, value: float, *, finite: bool) -> tuple[Status, str]:
    if not finite:
        return "error", "the network's logits are not finite"
    if maps.status[image] == "error":
        return "error", maps.reasons[image]
    if isnan(value):
        return "error", "the metric has no value: the network's logits on altered images are not finite"
    return maps.status[image], maps.reasons[image]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _refusals(trace: Trace, metrics: Sequence[Spec], status: Status, reason: str) -> list[Verdict]:
    targets = trace.targets.tolist()
    return [Verdict(image, target, spec, float("nan"), status, reason) for spec in metrics for image, target in enumerate(targets)]
