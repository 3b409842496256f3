"""What pixels are replaced by: RISE's blurred image, the lowest value of the image, noise."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE, _SIGMA = 11, 5


def rise_blur(images: Tensor, ground: Tensor) -> Tensor:
    """Images (B, 3, H, W) as RISE's insertion begins: under an 11 x 11 kernel, with `ground` (1, 3, 1, 1) around them.

    The released code blurs the mean/std-normalised image and lets zeros stand around it; in pixel space that is the
    same kernel with the mean colour around the image.
    """
    kernel = rise_kernel().to(images).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(images - ground, kernel, padding=_SIDE // 2, groups=images.shape[1]) + ground


@cache
def rise_kernel() -> Tensor:
    """(11, 11), float64: RISE's kernel, a point spread by a Gaussian of sigma 5 whose tails come back at the edges.

    It is what the released code makes: the Gaussian is reflected into the 11 x 11 array, so that the kernel is all but a
    box, with entries from 0.0077 to 0.0088; a Gaussian that is cut off and normalised would have 0.0044 to 0.0120.

    >>> [round(value, 7) for value in (rise_kernel().min().item(), rise_kernel().max().item(), rise_kernel().sum().item())]
    [0.0077366, 0.0088326, 1.0]
    """
    from scipy.ndimage import gaussian_filter

    point = torch.zeros(_SIDE, _SIDE, dtype=torch.float64)
    point[_SIDE // 2, _SIDE // 2] = 1
    return torch.from_numpy(gaussian_filter(point.numpy(), _SIGMA))


def lowest(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, 3, 1, 1): the smallest value that any channel of an image has after mean/std, in every channel.

    That is what `black` means in Quantus: one number in normalised space, which in pixel space may lie outside [0, 1].
    """
    return ((images - mean) / std).amin((1, 2, 3), keepdim=True) * std + mean
