"""Copy of a classifier that computes in float64."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable, first_line
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts


def float64_copy(classifier: Classifier) -> Classifier:
    """A copy in float64 with its own pass counts, without gradients of weights; on the CPU if the device has no float64 (MPS).

    The classifier is left as it is. The copy takes twice the memory of float32 weights as long as it lives. It follows no
    later change of the weights, so callers make it where they use it.

    Raises:
        NotApplicable: the network cannot be copied.
    """
    try:
        copy = deepcopy(classifier)
    except Exception as error:  # raised by the network's own members
        raise _refusal("cannot be copied", first_line(error)) from None
    copy.passes = PassCounts()
    device = "cpu" if classifier.device.type == "mps" else classifier.device
    return copy.requires_grad_(False).to(device, torch.float64)


def check_float64(logits: Callable[[], Tensor]) -> None:
    """Compute logits of a copy in float64.

    Raises:
        NotApplicable: the network computes in another dtype within, so that the pass fails or returns another dtype.
    """
    try:
        found = logits()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # operands of two dtypes
        raise _refusal("does not compute", first_line(error)) from None
    if found.dtype != torch.float64:
        raise _refusal("does not compute", f"its logits are {found.dtype}")


def _refusal(what: str, reason: str) -> NotApplicable:
    return NotApplicable(f"the network {what} in float64 ({reason}); give the option search_dtype='network'")
