"""From a raw map on the layer's grid to a mask in [0, 1] on the image's pixels."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Normalisation = Literal["range", "max", "sigmoid", "none"]


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) at another size (B, H, W), bilinearly, corners not aligned."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)


def normalise(maps: Tensor, how: Normalisation) -> Tensor:
    """Each map (B, H, W) on its own to [0, 1]; differentiable (Opti-CAM, eq. 4 and 16-18).

    - `range`: (s - min) / (max - min); a constant map gives zeros, the paper's n(0) = 0.
    - `max`: s / max, negative values first set to zero; a map without a positive value gives zeros.
    - `sigmoid`: 1 / (1 + exp(-s)).
    - `none`: as it is.

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
    span = maps.amax((1, 2), keepdim=True) - low
    alive = ~is_constant(maps)[:, None, None] if how == "range" else span > 0
    return torch.where(alive, (maps - low) / torch.where(alive, span, 1), 0)


def is_constant(maps: Tensor) -> Tensor:
    """Whether each map (B, H, W) is one value up to rounding, (B,) bool.

    Bilinear weights add up to one only to a few units in the last place, hence the tolerance: such noise must not
    be stretched to the full range.
    """
    flat = maps.detach().flatten(1)
    span = flat.amax(1) - flat.amin(1)
    return span <= 8 * torch.finfo(maps.dtype).eps * flat.abs().amax(1)
