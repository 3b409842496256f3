"""Losses: functions of one training step that return one value per image."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from camdbench.core.catalogue import loss
from camdbench.core.errors import UsageError


@dataclass(frozen=True)
class Step:
    """What a loss may look at.

    Attributes:
        logits: (B, C), attached to the graph.
        labels: (B,) class indices.
    """

    logits: Tensor
    labels: Tensor


@loss("ce", paper="cross-entropy; label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7")
def cross_entropy(step: Step, *, smoothing: NonNegativeFloat = 0.0) -> Tensor:
    """Cross-entropy against the label, which may share a part of its probability with all classes.

    Args:
        step: logits and labels.
        smoothing: probability spread evenly over the classes, in [0, 1).

    Returns:
        (B,) nats, not negative.

    Raises:
        UsageError: the smoothing leaves nothing for the label.
    """
    if smoothing >= 1:
        raise UsageError(f"ce(smoothing={smoothing}): must be below 1, or the label does not count")
    return nn.functional.cross_entropy(step.logits, step.labels, reduction="none", label_smoothing=smoothing)
