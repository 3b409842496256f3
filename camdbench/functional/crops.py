"""Random resized crops with flips, applied identically to images and maps."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Crop(NamedTuple):
    """Crop rectangle, resized to the whole image, optionally flipped."""

    top: int
    left: int
    height: int
    width: int
    flipped: bool


def draw_crop(
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Crop:
    """Random crop of an image of `size` pixels as in torchvision's RandomResizedCrop, flipped with probability 1/2.

    The area is uniform in `scale` times the image area, the aspect ratio log-uniform in `ratio`. After ten failed attempts
    the largest central crop with an allowed aspect ratio is used.
    """
    height, width = size
    flipped = bool(torch.rand((), generator=generator) < 0.5)
    for _ in range(10):
        area = height * width * _draw_uniform(*scale, generator)
        aspect = math.exp(_draw_uniform(math.log(ratio[0]), math.log(ratio[1]), generator))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            top = int(torch.randint(height - h + 1, (), generator=generator))
            left = int(torch.randint(width - w + 1, (), generator=generator))
            return Crop(top, left, h, w, flipped)
    h, w = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flipped)


def warp(images: Tensor, crops: list[Crop]) -> Tensor:
    """Images (B, ..., H, W), each cropped, resized bilinearly to H x W (align_corners=False) and flipped.

    >>> warp(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), [Crop(0, 2, 1, 2, True)]).tolist()
    [[[4.0, 3.75, 3.25, 3.0]]]
    """
    height, width = images.shape[-2:]
    rows = torch.stack([_resize_matrix(height, crop.top, crop.height) for crop in crops]).to(images)
    columns = torch.stack([_resize_matrix(width, crop.left, crop.width, flipped=crop.flipped) for crop in crops]).to(images)
    channels = (len(images), *(1,) * (images.ndim - 3))
    return rows.reshape(*channels, height, height) @ images @ columns.reshape(*channels, width, width).mT


def _resize_matrix(size: int, start: int, length: int, *, flipped: bool = False) -> Tensor:
    """Matrix (size, size) of the linear interpolation of `length` pixels from `start` to `size` pixels."""
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5
    places = start + centres.clamp(0, length - 1)
    matrix = (1 - (places[:, None] - torch.arange(size)).abs()).relu()
    return matrix.flip(0) if flipped else matrix


def _draw_uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
