"""Noise on a region of images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["gaussian", "l2"]


def add_noise(images: Tensor, places: Tensor, noise: Tensor, sigma: float, kind: Kind = "gaussian") -> Tensor:
    """Images (B, 3, H, W) with noise inside a region, clamped to [0, 1].

    Args:
        images: in [0, 1].
        places: (B, H, W) bool, the region.
        noise: (B, 3, H, W), standard normal.
        sigma: standard deviation per pixel, or with `l2` the Euclidean norm of the noise of an image.
        kind: `gaussian`, or `l2`, which rescales the noise of each image.

    >>> add_noise(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[True, False]]]), torch.full((1, 1, 1, 2), -1.0), 0.25).tolist()
    [[[[0.25, 0.5]]]]
    """
    there = noise * places.unsqueeze(1)
    if kind == "l2":
        norm = there.flatten(1).norm(dim=1)[:, None, None, None]
        there = there / torch.where(norm > 0, norm, 1)
    return (images + sigma * there).clamp(0, 1)
