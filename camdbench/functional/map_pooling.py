"""Several maps of one image as one: the place-wise maximum, smooth or hard, or the mean."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Pooling = Literal["softmax", "max", "logsumexp", "mean"]


def pool(maps: Tensor, how: Pooling, temperature: float) -> Tensor:
    """One map (B, h, w) for each image from the maps (V, B, h, w) of its views.

    - `softmax`: sum_v w_v G_v with w = softmax_v(G_v / (T s)), between the mean and the maximum.
    - `logsumexp`: T s log(mean_v exp(G_v / (T s))), likewise, and zero where all maps are.
    - `max` and `mean`: as they say; of equal maxima each gets a share of the gradient.

    s is the largest absolute value of the image's maps, taken as a constant: raw maps are small, and a softmax of small
    numbers is a mean. With it the result scales as the maps do.

    Args:
        maps: (V, B, h, w) of any sign.
        how: one of the four.
        temperature: T; the smaller, the nearer to the maximum.
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
