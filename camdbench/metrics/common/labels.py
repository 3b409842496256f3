"""Labels of images, and undefined values for images without a label."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.metrics.common.inputs import MetricInputs


class KnownLabels(NamedTuple):
    """Labels as valid indices of logits.

    Attributes:
        classes: (B,) int64; 0 if the label is unknown.
        known: (B,) bool, whether the label is a class of the network.
    """

    classes: Tensor
    known: Tensor


def labels_of(inputs: MetricInputs) -> KnownLabels:
    """Labels of a batch."""
    known = (inputs.labels >= 0) & (inputs.labels < inputs.logits.shape[1])
    return KnownLabels(torch.where(known, inputs.labels, 0), known)


def mask_undefined(values: Tensor, defined: Tensor) -> tuple[Tensor, Tensor]:
    """Values (B,) with NaN where undefined, and the mask of undefined values (B,), both on the device of `values`."""
    there = defined.to(values.device)
    return torch.where(there, values, torch.nan), ~there
