"""What a class gains over the others place by place, and how much of it lies on the core region.

For a head that is global average pooling and a linear layer every logit is the sum of its HiResCAM, CAM_c = 1/(h w)
sum_k W_ck A_k, plus a bias, and the difference of two classes' maps says where one is preferred to the other
(ContrastiveCAM, eq. 3 and definitions 3.3-3.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.functional.core_focused_loss import class_maps, contrasts
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise

_NUMBERS = 16_000_000  # of the maps of all classes, held at a time


class Contributions(NamedTuple):
    """How much the differences between a class and the others owe to two parts of each image.

    Attributes:
        core: (B,) float64, sum of |CAM_t - CAM_c| over all classes c and the places inside the mask.
        noncore: (B,) float64, the same over the places outside.
    """

    core: Tensor
    noncore: Tensor


def contributions(activations: Tensor, weights: Tensor, classes: Tensor, core: Tensor) -> Contributions:
    """Sums of |CAM_t - CAM_c| over classes, inside and outside of masks (ContrastiveCAM, table 1).

    Args:
        activations: (B, K, h, w).
        weights: (C, K) of the linear layer.
        classes: (B,) t.
        core: (B, h, w) bool.
    """
    sums = [to_float64(maps.abs().sum(1)) for maps in _contrasts(activations, weights, classes)]
    by_place = torch.stack(sums).sum(0)  # (B, h, w)
    inside = core.to(by_place.device)
    return Contributions((by_place * inside).sum((1, 2)), (by_place * ~inside).sum((1, 2)))


def reconstructed(activations: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """CAM_t - 1/C sum_c CAM_c (B, h, w), signed: a class's map without what all classes share (definition 3.4)."""
    return _weighed(_centred(weights)[classes], activations)


def redundancy(activations: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """||1/C sum_c CAM_c|| / ||CAM_t||, Frobenius norms, (B,) float64 >= 0; NaN where CAM_t is zero everywhere."""
    shared = weights.mean(0).expand(len(classes), -1)
    above, below = (to_float64(_weighed(chosen, activations)).flatten(1).norm(dim=1) for chosen in (shared, weights[classes]))
    return above / torch.where(below == 0, torch.nan, below)


def overlap_with_others(
    activations: Tensor, weights: Tensor, classes: Tensor, core: Tensor, threshold: float, *, scaled: bool = False
) -> Tensor:
    """The overlap of core with CAM_t - CAM_c > threshold, mean over the C - 1 other classes c, (B,) float64.

    Args:
        activations: (B, K, h, w).
        weights: (C, K) of the linear layer.
        classes: (B,) t.
        core: (B, h, w) bool, not empty.
        threshold: 0 or more.
        scaled: whether each map is brought to [0, 1] first.
    """
    total = torch.zeros(len(classes), dtype=torch.float64)
    for maps in _contrasts(activations, weights, classes):  # that of t itself is zero, and so is its overlap
        found = normalise(maps.flatten(0, 1), "range").view_as(maps) if scaled else maps
        total += overlap(found > threshold, core[:, None]).sum(1).cpu()
    return total / (len(weights) - 1)


def leading_classes(activations: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """The class whose CAM is the highest at each place, the first of equals; -1 where none exceeds the threshold.

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
    """Intersection over union (…) of masks (…, h, w) bool, float64; NaN where both are empty.

    >>> overlap(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])).item()
    0.3333333333333333
    """
    return to_float64((first & second).sum((-2, -1))) / to_float64((first | second).sum((-2, -1)))


def _contrasts(activations: Tensor, weights: Tensor, classes: Tensor) -> Iterator[Tensor]:
    """CAM_t - CAM_c (B, n, h, w) for all c, n at a time."""
    for part in torch.arange(len(weights), device=weights.device).split(_classes_at_a_time(activations)):
        yield contrasts(activations, _centred(weights), classes, part)


def _classes_at_a_time(activations: Tensor) -> int:
    return max(1, _NUMBERS // activations[:, 0].numel())


def _centred(weights: Tensor) -> Tensor:
    """Weights (C, K) without their mean over classes: differences of maps stay, and no digits go to what cancels."""
    return weights - weights.mean(0)


def _weighed(weights: Tensor, activations: Tensor) -> Tensor:
    """1/(h w) sum_k w_k A_k, (B, h, w), for weights (B, K) of each image."""
    return torch.einsum("bk,bkhw->bhw", weights, activations) / activations[0, 0].numel()
