"""Replacement values of pixels: RISE's blurred image, and the lowest value of the image."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE, _SIGMA = 11, 5


def rise_blur(images: Tensor, ground: Tensor) -> Tensor:
    """Starting images (B, 3, H, W) of RISE's insertion: blurred by an 11 x 11 kernel, padded with `ground` (1, 3, 1, 1).

    The release blurs the mean/std-normalised image with zero padding; in pixel space the padding is the mean colour.
    """
    kernel = rise_kernel().to(images).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(images - ground, kernel, padding=_SIDE // 2, groups=images.shape[1]) + ground


@cache
def rise_kernel() -> Tensor:
    """RISE's blur kernel (11, 11), float64: a point blurred by a Gaussian of sigma 5 with reflecting boundaries.

    As in the release; reflection makes it almost a box, with entries from 0.0077 to 0.0088 (0.0044 to 0.0120 for a
    truncated, normalised Gaussian).

    >>> [round(value, 7) for value in (rise_kernel().min().item(), rise_kernel().max().item(), rise_kernel().sum().item())]
    [0.0077366, 0.0088326, 1.0]
    """
    from scipy.ndimage import gaussian_filter

    point = torch.zeros(_SIDE, _SIDE, dtype=torch.float64)
    point[_SIDE // 2, _SIDE // 2] = 1
    return torch.from_numpy(gaussian_filter(point.numpy(), _SIGMA))


def lowest(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Smallest value of each image over all channels after mean/std, in pixel space: (B, 3, 1, 1).

    The `black` of Quantus; in pixel space it may lie outside [0, 1].
    """
    return ((images - mean) / std).amin((1, 2, 3), keepdim=True) * std + mean
