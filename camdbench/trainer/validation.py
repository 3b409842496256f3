"""Validation: accuracy, cross-entropy and the agreement of Grad-CAM with object masks."""

from __future__ import annotations

import math
from contextlib import closing
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.functional.core_focused_loss import contrasts, core_of
from camdbench.functional.normalise import normalise, upsample
from camdbench.functional.soft_overlap import energy_inside
from camdbench.models.classifier import Classifier
from camdbench.trainer.distributed import ALONE, ProcessGroup
from camdbench.trainer.split_data import Split


class ValidationScores(NamedTuple):
    """Scores of a network on a split: means over its images; NaN if unknown.

    Attributes:
        accuracy: fraction of correct predictions in [0, 1].
        loss: cross-entropy in nats.
        iou: IoU of the mask with the label's Grad-CAM, normalised to its range and thresholded at 0.5.
        energy: fraction of the Grad-CAM energy inside the mask.
        core_share: fraction of the magnitude of the class contrasts inside the mask, on the layer's grid.
    """

    accuracy: float
    loss: float
    iou: float = float("nan")
    energy: float = float("nan")
    core_share: float = float("nan")


def validate(classifier: Classifier, images: Split, *, device: torch.device, processes: ProcessGroup = ALONE) -> ValidationScores:
    """Score a network on a split in eval mode; the network is left unchanged, and processes share the batches."""
    found = [torch.empty(5, 0, dtype=torch.float64)]
    with classifier.frozen(), closing(images.batches(100, processes.rank, processes.size)) as batches:
        found += [_rows(classifier, batch.to(device)).cpu() for batch in batches]
    values = torch.cat(found, 1)
    known = values.isfinite()
    known[:2] = True  # NaN of accuracy and loss is reported, not skipped
    sums, counts = (processes.sum(rows.sum(1).tolist(), device) for rows in (torch.where(known, values, 0), known.double()))
    return ValidationScores(*(total / count if count else math.nan for total, count in zip(sums, counts, strict=True)))


def _rows(classifier: Classifier, batch: Batch) -> Tensor:
    """(5, B) float64, in the order of `ValidationScores`."""
    trace = Trace(classifier, batch)
    logits = trace.logits.double()
    right = (logits.argmax(1) == batch.labels).double()
    loss = F.cross_entropy(logits, batch.labels, reduction="none")
    nothing = torch.full_like(loss, torch.nan)
    iou, energy, core = (nothing, nothing, nothing) if batch.masks is None or classifier.layer is None else _overlaps(trace, batch.masks)
    return torch.stack([right, loss, iou, energy, core])


def _overlaps(trace: Trace, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """IoU, energy and core share, each (B,); NaN for an empty mask."""
    map_ = upsample(gradcam(trace), (masks.shape[-2], masks.shape[-1])).double()
    salient, truth = (normalise(map_, "range") > 0.5).flatten(1), masks.flatten(1)
    iou = (salient & truth).sum(1).double() / (salient | truth).sum(1)
    known = truth.any(1)
    return (
        iou.where(known, torch.nan),
        energy_inside(map_, masks).where(known, torch.nan),
        _core_share(trace, masks).where(known, torch.nan),
    )


def _core_share(trace: Trace, masks: Tensor) -> Tensor:
    try:
        weights = trace.class_weights
    except NotApplicable:
        return torch.full((len(masks),), torch.nan, dtype=torch.float64, device=masks.device)
    size = contrasts(trace.activations, weights, trace.targets).abs().sum(1).double()
    core, _ = core_of(masks, (size.shape[1], size.shape[2]))
    return (size * core).sum((1, 2)) / size.sum((1, 2))
