"""Differentiable overlap of maps and masks for losses; zero maps give 0 without a gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine similarity (B,) of maps (B, …); 0 without a gradient if one is zero everywhere.

    Maps are scaled by their largest absolute value first, which avoids underflow of squares.
    """
    (a, one), (b, other) = _scale(first), _scale(second)
    product = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return torch.where(one & other, product, 0)


def unit(maps: Tensor) -> Tensor:
    """Maps (B, …) as unit vectors (B, P); zero without a gradient for zero maps."""
    flat, alive = _scale(maps)
    return torch.where(alive[:, None], flat / flat.square().sum(1, keepdim=True).sqrt(), 0)


def energy_fractions(maps: Tensor) -> Tensor:
    """Positive parts of maps (B, …) divided by their sum, (B, P); zero without a gradient if there is no positive part."""
    flat, alive = _scale(maps.relu())
    return torch.where(alive[:, None], flat / flat.sum(1, keepdim=True), 0)


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Fraction (B,) in [0, 1] of the positive energy of maps (B, H, W) inside masks (B, H, W); 0 without a positive part."""
    flat, alive = _scale(maps.relu())
    inside = (flat * masks.flatten(1).to(flat.dtype)).sum(1)
    return torch.where(alive, inside / flat.sum(1), 0)


def soft_iou(maps: Tensor, masks: Tensor, threshold: float, sharpness: float) -> Tensor:
    """Soft IoU (B,) of masks with maps (B, H, W) in [0, 1], thresholded by a sigmoid.

    Intersection sum s m, union sum (s + m - s m).
    """
    cut = torch.sigmoid(sharpness * (maps - threshold)).flatten(1)
    target = masks.flatten(1).to(cut.dtype)
    both = (cut * target).sum(1)
    return both / (cut + target - cut * target).sum(1)


def _scale(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (B, P) with largest absolute value 1 (ones for zero maps), and which maps are not zero (B,)."""
    flat = maps.flatten(1)
    size = flat.detach().abs().amax(1, keepdim=True)
    alive = size > 0
    return torch.where(alive, flat / torch.where(alive, size, 1), 1), alive[:, 0]
