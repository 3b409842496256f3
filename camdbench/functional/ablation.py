"""The object taken out of images: grey in its shape or its box, in pixel space, before mean and std."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = 0.5


def grey_object(images: Tensor, masks: Tensor) -> Tensor:
    """Images (B, 3, H, W) with mid-grey where masks (B, H, W) bool are, x (1 - m) + m / 2.

    >>> grey_object(torch.ones(1, 1, 1, 2), torch.tensor([[[True, False]]])).tolist()
    [[[[0.5, 1.0]]]]
    """
    return torch.where(masks.unsqueeze(1), torch.full_like(images, GREY), images)


def grey_box(images: Tensor, masks: Tensor, *, last: bool) -> Tensor:
    """Images (B, 3, H, W) with mid-grey in the one box round all pixels of each mask (B, H, W) bool.

    Args:
        images: the images.
        masks: where the object is; nothing changes where a mask is empty.
        last: whether the box has the last row and the last column of the object; Hard-ImageNet's release leaves them out.
    """
    return grey_object(images, box_round(masks, last=last))


def box_round(masks: Tensor, *, last: bool) -> Tensor:
    """The box round all pixels of each mask, (B, H, W) bool, with its last row and column or without.

    >>> rows = torch.zeros(1, 6, 1, dtype=torch.bool)
    >>> rows[0, [2, 4]] = True
    >>> box_round(rows.expand(1, 6, 6), last=False)[0, :, 0].tolist()
    [False, False, True, True, False, False]
    """
    return _span(masks.any(2), last)[:, :, None] & _span(masks.any(1), last)[:, None, :]


def _span(occupied: Tensor, last: bool) -> Tensor:
    """From the first to the last True of each row (B, N), the last included or not."""
    counts = occupied.long()
    to_come = counts.flip(1).cumsum(1).flip(1) - (0 if last else counts)
    return (counts.cumsum(1) > 0) & (to_come > 0)
