"""Pooling of several maps of an image: smooth or hard maximum per pixel, or mean."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Pooling = Literal["softmax", "max", "logsumexp", "mean"]


def pool(maps: Tensor, how: Pooling, temperature: float) -> Tensor:
    """Pool the maps (V, B, h, w) of V views to (B, h, w).

    - `softmax`: sum_v w_v G_v with w = softmax_v(G_v / (T s)), between mean and maximum.
    - `logsumexp`: T s log(mean_v exp(G_v / (T s))), between mean and maximum; 0 if all maps are 0.
    - `max`, `mean`: per pixel; equal maxima share the gradient.

    s is the largest absolute value of the image's maps, treated as a constant; it makes the result scale with the maps.

    Args:
        maps: (V, B, h, w), signed.
        how: pooling function.
        temperature: T; T -> 0 gives the maximum.
    """
    if how == "max":
        return maps.amax(0)
    if how == "mean":
        return maps.mean(0)
    size = maps.detach().abs().amax((0, 2, 3))[None, :, None, None]
    scale = temperature * size.where(size > 0, size.new_ones(()))
    if how == "softmax":
        return ((maps / scale).softmax(0) * maps).sum(0)
    return scale[0] * ((maps / scale).logsumexp(0) - math.log(len(maps)))
