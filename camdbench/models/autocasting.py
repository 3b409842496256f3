"""Passes in bfloat16 by autocast: when a classifier makes them, and whether they pay with gradients."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from camdbench.core.precision import Precision
from camdbench.models.devices import clock

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

_REPEATS = 3


def in_bfloat16(precision: Precision, dtype: torch.dtype) -> bool:
    """Whether a pass of altered images is in bfloat16.

    Passes without gradients are with `bf16` and `bf16-all`. Passes with gradients are with `bf16-all`, except those of methods that
    replace torch functions, whose rules divide by small differences, and those in float64, which were asked for.

    Args:
        precision: the classifier's.
        dtype: of its weights.
    """
    if not torch.is_grad_enabled():
        return precision != "fp32"
    if precision != "bf16-all" or dtype != torch.float32:
        return False
    from camdbench.models.folding import are_functions_replaced

    return not are_functions_replaced()


def bfloat16_time(classifier: Classifier, images: Tensor) -> float:
    """Time of a forward and backward pass of images (B, 3, H, W) under autocast, in parts of that in the network's own precision.

    The median of three each, interleaved, after one of each to warm up; uncounted.
    """
    with torch.inference_mode(mode=False), torch.enable_grad(), classifier.uncounted(), classifier.frozen():
        runs = [(_seconds(classifier, images, reduced=False), _seconds(classifier, images, reduced=True)) for _ in range(1 + _REPEATS)]
    exact, reduced = zip(*runs[1:], strict=True)
    return median(reduced) / median(exact)


def _seconds(classifier: Classifier, images: Tensor, *, reduced: bool) -> float:
    leaf, start = images.detach().clone().requires_grad_(), clock(images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=reduced):
        chosen = classifier(leaf).float().amax(1).sum()
    torch.autograd.grad(chosen, leaf)
    return clock(images.device) - start
