"""Class contrasts per grid cell, and their fraction on the core region.

With global average pooling and a linear layer every logit is the sum of its HiResCAM, CAM_c = 1/(h w) sum_k W_ck A_k,
plus a bias; CAM_t - CAM_c shows where class t is preferred to c (ContrastiveCAM, eq. 3 and definitions 3.3-3.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.functional.core_focused_loss import class_maps, contrasts
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise

_NUMBERS = 16_000_000  # elements of class maps in memory at a time


class Contributions(NamedTuple):
    """Absolute class contrasts summed inside and outside the core region.

    Attributes:
        core: (B,) float64, sum of |CAM_t - CAM_c| over all classes c and the cells inside the mask.
        noncore: (B,) float64, the sum over the cells outside.
    """

    core: Tensor
    noncore: Tensor


def contributions(activations: Tensor, weights: Tensor, classes: Tensor, core: Tensor) -> Contributions:
    """Sums of |CAM_t - CAM_c| over classes, inside and outside masks (ContrastiveCAM, table 1).

    Args:
        activations: (B, K, h, w).
        weights: (C, K) of the linear layer.
        classes: (B,) t.
        core: (B, h, w) bool.
    """
    sums = [to_float64(maps.abs().sum(1)) for maps in _contrasts(activations, weights, classes)]
    by_cell = torch.stack(sums).sum(0)  # (B, h, w)
    inside = core.to(by_cell.device)
    return Contributions((by_cell * inside).sum((1, 2)), (by_cell * ~inside).sum((1, 2)))


def reconstructed_map(activations: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """Class-reconstructed map CAM_t - 1/C sum_c CAM_c (B, h, w), signed: the class map minus the mean over classes (definition 3.4)."""
    return _weighted_sum(_centre(weights)[classes], activations)


def redundancy(activations: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """||1/C sum_c CAM_c|| / ||CAM_t||, Frobenius norms, (B,) float64 >= 0; NaN if CAM_t is zero everywhere."""
    shared = weights.mean(0).expand(len(classes), -1)
    above, below = (to_float64(_weighted_sum(each, activations)).flatten(1).norm(dim=1) for each in (shared, weights[classes]))
    return above / torch.where(below == 0, torch.nan, below)


def overlap_with_others(
    activations: Tensor, weights: Tensor, classes: Tensor, core: Tensor, threshold: float, *, scaled: bool = False
) -> Tensor:
    """IoU of the core with CAM_t - CAM_c > threshold, mean over the C - 1 other classes c, (B,) float64.

    Args:
        activations: (B, K, h, w).
        weights: (C, K) of the linear layer.
        classes: (B,) t.
        core: (B, h, w) bool, not empty.
        threshold: >= 0.
        scaled: whether each map is scaled to [0, 1] first.
    """
    total = torch.zeros(len(classes), dtype=torch.float64)
    for maps in _contrasts(activations, weights, classes):  # the contrast of t with itself is 0, and so is its IoU
        found = normalise(maps.flatten(0, 1), "range").view_as(maps) if scaled else maps
        total += overlap(found > threshold, core[:, None]).sum(1).cpu()
    return total / (len(weights) - 1)


def leading_classes(activations: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """Class with the highest CAM per cell, the first of equals; -1 if none exceeds the threshold.

    Args:
        activations: (B, K, h, w).
        weights: (C, K) of the linear layer.
        threshold: in logits.

    Returns:
        (B, h, w) int64.
    """
    highest = torch.full_like(activations[:, 0], threshold)
    leading = torch.full_like(highest, -1, dtype=torch.int64)
    for part in torch.arange(len(weights), device=weights.device).split(_classes_at_a_time(activations)):
        found, index = class_maps(activations, weights[part]).max(1)
        ahead = found > highest
        highest, leading = torch.where(ahead, found, highest), torch.where(ahead, part[index], leading)
    return leading


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """IoU (…) of masks (…, h, w) bool, float64; NaN if both are empty.

    >>> overlap(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])).item()
    0.3333333333333333
    """
    return to_float64((first & second).sum((-2, -1))) / to_float64((first | second).sum((-2, -1)))


def _contrasts(activations: Tensor, weights: Tensor, classes: Tensor) -> Iterator[Tensor]:
    """CAM_t - CAM_c (B, n, h, w) for all c, in chunks of n classes."""
    for part in torch.arange(len(weights), device=weights.device).split(_classes_at_a_time(activations)):
        yield contrasts(activations, _centre(weights), classes, part)


def _classes_at_a_time(activations: Tensor) -> int:
    return max(1, _NUMBERS // activations[:, 0].numel())


def _centre(weights: Tensor) -> Tensor:
    """Weights (C, K) minus their mean over classes: contrasts stay the same, with less cancellation."""
    return weights - weights.mean(0)


def _weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """1/(h w) sum_k w_k A_k, (B, h, w), for per-image weights (B, K)."""
    return torch.einsum("bk,bkhw->bhw", weights, activations) / activations[0, 0].numel()
