"""Confusion matrix of class maps, and the IoU of each class."""

from __future__ import annotations

import torch
from torch import Tensor

VOID = 255
"""Index of void (unlabelled) pixels, as in PASCAL VOC; ignored in losses and scores."""


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Confusion matrix of each image: rows are true, columns predicted classes; void pixels are ignored.

    >>> confusion(torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 0, 255]]]), 2).tolist()
    [[[1, 1], [0, 1]]]

    Args:
        predicted: (B, H, W) class indices.
        truth: (B, H, W) class indices, 255 for void.
        classes: number of classes C.

    Returns:
        (B, C, C) int64, numbers of pixels.
    """
    known = truth != VOID
    images = torch.arange(len(truth), device=truth.device)[:, None, None].expand_as(truth)
    places = (images * classes + truth.long()) * classes + predicted.long()
    return places[known].bincount(minlength=len(truth) * classes**2).reshape(len(truth), classes, classes)


def intersections(matrix: Tensor) -> Tensor:
    """Intersections (…, C) of predicted and true pixels, from confusion matrices (…, C, C)."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def unions(matrix: Tensor) -> Tensor:
    """Unions (…, C) of predicted and true pixels, from confusion matrices (…, C, C)."""
    return matrix.sum(-1) + matrix.sum(-2) - intersections(matrix)


def class_ious(matrix: Tensor) -> Tensor:
    """IoU of each class (…, C) float64; NaN for a class neither present nor predicted.

    >>> class_ious(torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])).tolist()
    [0.75, 0.6666666666666666, nan]
    """
    return intersections(matrix).double() / unions(matrix).double()
