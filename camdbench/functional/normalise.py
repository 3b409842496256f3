"""Upsampling of raw maps to image size, and normalisation to [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Normalisation = Literal["range", "max", "sigmoid", "none"]


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of maps (B, h, w) to (B, H, W), align_corners=False."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)


def normalise(maps: Tensor, how: Normalisation) -> Tensor:
    """Normalise each map (B, H, W) to [0, 1]; differentiable (Opti-CAM, eq. 4 and 16-18).

    - `range`: (s - min) / (max - min); a constant map gives zeros (the paper's n(0) = 0).
    - `max`: max(0, s) / max; a map without positive values gives zeros.
    - `sigmoid`: 1 / (1 + exp(-s)).
    - `none`: unchanged.

    >>> normalise(torch.tensor([[[1.0, 2.0, 5.0]]]), "range").tolist()
    [[[0.0, 0.25, 1.0]]]
    >>> normalise(torch.full((1, 2, 2), 7.0), "range").any().item()
    False
    """
    if how == "sigmoid":
        return torch.sigmoid(maps)
    if how == "none":
        return maps
    if how == "max":
        maps = maps.relu()
        low = torch.zeros_like(maps[:, :1, :1])
    else:
        low = maps.amin((1, 2), keepdim=True)
    high = maps.amax((1, 2), keepdim=True)
    span = high - low
    alive = ~is_flat(low, high) if how == "range" else span > 0
    return torch.where(alive, (maps - low) / torch.where(alive, span, 1), 0)


def is_constant(maps: Tensor) -> Tensor:
    """Whether each map (B, H, W) is constant up to rounding, (B,) bool.

    The tolerance covers bilinear weights, which sum to 1 only up to rounding; without it, that noise would be stretched to [0, 1].
    """
    flat = maps.detach().flatten(1)
    return is_flat(flat.amin(1), flat.amax(1))  # faster than aminmax


def is_flat(low: Tensor, high: Tensor) -> Tensor:
    """Whether each range of values (B,) is that of rounding, by the largest absolute value, (B,) bool."""
    return high - low <= 8 * torch.finfo(low.dtype).eps * torch.maximum(high, -low)
