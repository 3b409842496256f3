"""Random crops and flips, drawn once and applied to images and to maps alike."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Crop(NamedTuple):
    """A region that is stretched to the whole image, and flipped or not: rows from `top`, columns from `left`."""

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
    """A crop of an image of `size` pixels, as torchvision's RandomResizedCrop draws it, flipped with probability 1/2.

    Area uniform in `scale` times the image's, aspect ratio log-uniform in `ratio`, ten attempts, then the largest
    central crop whose aspect ratio is allowed.
    """
    height, width = size
    flipped = bool(torch.rand((), generator=generator) < 0.5)
    for _ in range(10):
        area = height * width * _between(*scale, generator)
        aspect = math.exp(_between(math.log(ratio[0]), math.log(ratio[1]), generator))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            top = int(torch.randint(height - h + 1, (), generator=generator))
            left = int(torch.randint(width - w + 1, (), generator=generator))
            return Crop(top, left, h, w, flipped)
    h, w = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flipped)


def warp(images: Tensor, crops: list[Crop]) -> Tensor:
    """Images (B, ..., H, W), each cropped by its own crop, stretched bilinearly to H x W again, and flipped where it says so.

    What cropping first and resizing with corners not aligned gives: nothing outside the crop is looked at.

    >>> warp(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), [Crop(0, 2, 1, 2, True)]).tolist()
    [[[4.0, 3.75, 3.25, 3.0]]]
    """
    height, width = images.shape[-2:]
    rows = torch.stack([_stretching(height, crop.top, crop.height) for crop in crops]).to(images)
    columns = torch.stack([_stretching(width, crop.left, crop.width, flipped=crop.flipped) for crop in crops]).to(images)
    channels = (len(images), *(1,) * (images.ndim - 3))
    return rows.reshape(*channels, height, height) @ images @ columns.reshape(*channels, width, width).mT


def _stretching(size: int, start: int, length: int, *, flipped: bool = False) -> Tensor:
    """The matrix (size, size) that stretches `length` pixels from `start` to `size` pixels: linear interpolation between two each."""
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5
    places = start + centres.clamp(0, length - 1)
    matrix = (1 - (places[:, None] - torch.arange(size)).abs()).relu()
    return matrix.flip(0) if flipped else matrix


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
