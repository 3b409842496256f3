"""How far a map lies on a mask, as losses need it: differentiable, and with no gradient where there is nothing to compare."""

from __future__ import annotations

import torch
from torch import Tensor


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine (B,) of maps (B, …) over all places; 0 without a gradient where one of them is zero everywhere.

    Each map is divided by its largest absolute value first, so that squares of small maps do not vanish.
    """
    (a, one), (b, other) = _scaled(first), _scaled(second)
    product = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return torch.where(one & other, product, 0)


def unit(maps: Tensor) -> Tensor:
    """Maps (B, …) as vectors (B, P) of length one; zero without a gradient where a map is zero everywhere."""
    flat, alive = _scaled(maps)
    return torch.where(alive[:, None], flat / flat.square().sum(1, keepdim=True).sqrt(), 0)


def energy_fractions(maps: Tensor) -> Tensor:
    """Positive parts of maps (B, …) as shares (B, P) that add up to one; zero without a gradient where there is no positive part."""
    flat, alive = _scaled(maps.relu())
    return torch.where(alive[:, None], flat / flat.sum(1, keepdim=True), 0)


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share (B,) in [0, 1] of the positive part of maps (B, H, W) that lies on masks (B, H, W); 0 where there is no positive part."""
    positive = maps.relu()
    flat, alive = _scaled(positive)
    inside = (flat * masks.flatten(1).to(flat.dtype)).sum(1)
    return torch.where(alive, inside / flat.sum(1), 0)


def soft_iou(maps: Tensor, masks: Tensor, threshold: float, sharpness: float) -> Tensor:
    """Intersection over union (B,) of masks with maps (B, H, W) in [0, 1], cut at a threshold by a sigmoid of that sharpness.

    A hard cut has no gradient. The intersection is sum s m and the union sum (s + m - s m).
    """
    cut = torch.sigmoid(sharpness * (maps - threshold)).flatten(1)
    wanted = masks.flatten(1).to(cut.dtype)
    both = (cut * wanted).sum(1)
    return both / (cut + wanted - cut * wanted).sum(1)


def _scaled(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (B, P) with the largest absolute value 1, ones in place of zero maps, and which maps were not zero."""
    flat = maps.flatten(1)
    size = flat.detach().abs().amax(1, keepdim=True)
    alive = size > 0
    return torch.where(alive, flat / torch.where(alive, size, 1), 1), alive[:, 0]
