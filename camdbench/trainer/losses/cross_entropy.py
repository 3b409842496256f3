"""Cross-entropy, multi-class and binary: losses of logits and labels alone."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import NonNegativeFloat

from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.trainer.step import TrainingStep, presence_losses
from camdbench.trainer.task import LossResult


@loss("ce", paper="cross-entropy; label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7")
def cross_entropy(step: TrainingStep, *, smoothing: NonNegativeFloat = 0.0) -> LossResult:
    r"""Cross-entropy with label smoothing: the label has probability 1 - smoothing + smoothing / C.

    .. math:: -\sum_c q_c \log p_c, \quad q_c = (1 - \epsilon)\,[c = t] + \epsilon / C

    Args:
        step: the batch.
        smoothing: epsilon, the probability spread uniformly over the C classes, in [0, 1).

    Returns:
        (B,) nats, not negative; 0 for an image without label.

    Raises:
        UsageError: smoothing is 1 or more.
    """
    if smoothing >= 1:
        raise UsageError(f"ce(smoothing={smoothing}): must be below 1; choose a value in [0, 1)")
    total = F.cross_entropy(step.logits, step.labels, ignore_index=-1, reduction="none", label_smoothing=smoothing)
    return LossResult(total, {"ce": total}, step.logits)


@loss("bce", paper="binary cross-entropy")
def binary_cross_entropy(step: TrainingStep, *, pos_weight: tuple[float, ...] = ()) -> LossResult:
    r"""Binary cross-entropy of the sigmoids, averaged over classes.

    .. math:: -\frac{1}{C} \sum_c \left(w_c\, y_c \log \sigma(f_c) + (1 - y_c) \log(1 - \sigma(f_c))\right)

    Args:
        step: the batch.
        pos_weight: w_c of each class; default: 1. CFCE's code balances SBD by (images without c) / (images with c).

    Returns:
        (B,) nats, not negative.

    Raises:
        UsageError: the number of weights is not that of classes, or one is negative.
    """
    total = presence_losses(step.logits, step.present, pos_weight).mean(1)
    return LossResult(total, {"bce": total}, step.logits)
