"""Confusion of class maps: which class each pixel has, and which it was given."""

from __future__ import annotations

import torch
from torch import Tensor

VOID = 255
"""A pixel of which nobody says what it shows, as in PASCAL VOC; it counts nowhere."""


def confusion(said: Tensor, truth: Tensor, classes: int) -> Tensor:
    """How often each class, row, was taken for each, column, in every image, void pixels apart.

    >>> confusion(torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 0, 255]]]), 2).tolist()
    [[[1, 1], [0, 1]]]

    Args:
        said: (B, H, W) class indices.
        truth: (B, H, W) class indices, 255 where void.
        classes: how many there are.

    Returns:
        (B, C, C) int64.
    """
    known = truth != VOID
    images = torch.arange(len(truth), device=truth.device)[:, None, None].expand_as(truth)
    places = (images * classes + truth.long()) * classes + said.long()
    return places[known].bincount(minlength=len(truth) * classes**2).reshape(len(truth), classes, classes)


def intersections(matrix: Tensor) -> Tensor:
    """Pixels (…, C) that have a class and were given it, from confusions (…, C, C)."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def unions(matrix: Tensor) -> Tensor:
    """Pixels (…, C) that have a class or were given it, from confusions (…, C, C)."""
    return matrix.sum(-1) + matrix.sum(-2) - intersections(matrix)


def class_ious(matrix: Tensor) -> Tensor:
    """Intersection over union of each class (…, C) float64; NaN for a class that no pixel has and none was given.

    >>> class_ious(torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])).tolist()
    [0.75, 0.6666666666666666, nan]
    """
    return intersections(matrix).double() / unions(matrix).double()
