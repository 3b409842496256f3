"""Losses of logits and labels alone."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import NonNegativeFloat

from camdbench.core.catalogue import loss
from camdbench.core.errors import UsageError
from camdbench.trainer.step import TrainingStep
from camdbench.trainer.task import LossResult


@loss("ce", paper="cross-entropy; label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7")
def cross_entropy(step: TrainingStep, *, smoothing: NonNegativeFloat = 0.0) -> LossResult:
    """Cross-entropy against the label, which may share a part of its probability with all classes.

    Args:
        step: the batch.
        smoothing: probability spread evenly over the classes, in [0, 1).

    Returns:
        (B,) nats, not negative; 0 for an image without label.

    Raises:
        UsageError: the smoothing leaves nothing for the label.
    """
    if smoothing >= 1:
        raise UsageError(f"ce(smoothing={smoothing}): must be below 1, or the label does not count")
    total = F.cross_entropy(step.logits, step.labels, ignore_index=-1, reduction="none", label_smoothing=smoothing)
    return LossResult(total, {"ce": total}, step.logits)


@loss("bce", paper="binary cross-entropy")
def binary_cross_entropy(step: TrainingStep) -> LossResult:
    """Binary cross-entropy of every class on its own, averaged over classes.

    Returns:
        (B,) nats, not negative.
    """
    total = F.binary_cross_entropy_with_logits(step.logits, step.present, reduction="none").mean(1)
    return LossResult(total, {"bce": total}, step.logits)
