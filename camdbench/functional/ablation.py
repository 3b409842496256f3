"""Object ablation: grey in the shape or the bounding box of the object, in pixel space."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = 0.5


def grey_object(images: Tensor, masks: Tensor) -> Tensor:
    """Images (B, 3, H, W) with mid-grey inside masks (B, H, W) bool, x (1 - m) + m / 2.

    >>> grey_object(torch.ones(1, 1, 1, 2), torch.tensor([[[True, False]]])).tolist()
    [[[[0.5, 1.0]]]]
    """
    return torch.where(masks.unsqueeze(1), torch.full_like(images, GREY), images)


def grey_box(images: Tensor, masks: Tensor, *, last: bool) -> Tensor:
    """Images (B, 3, H, W) with mid-grey inside the bounding box of each mask (B, H, W) bool.

    Args:
        images: (B, 3, H, W) in [0, 1].
        masks: object masks; an empty mask changes nothing.
        last: whether the box includes the last row and column of the object; Hard-ImageNet's release omits them.
    """
    return grey_object(images, bounding_box_mask(masks, last=last))


def bounding_box_mask(masks: Tensor, *, last: bool) -> Tensor:
    """Bounding box of each mask as pixels, (B, H, W) bool, with or without its last row and column.

    >>> rows = torch.zeros(1, 6, 1, dtype=torch.bool)
    >>> rows[0, [2, 4]] = True
    >>> bounding_box_mask(rows.expand(1, 6, 6), last=False)[0, :, 0].tolist()
    [False, False, True, True, False, False]
    """
    return _span(masks.any(2), last)[:, :, None] & _span(masks.any(1), last)[:, None, :]


def _span(occupied: Tensor, last: bool) -> Tensor:
    """True from the first to the last True of each row (B, N), the last one included or not."""
    counts = occupied.long()
    remaining = counts.flip(1).cumsum(1).flip(1) - (0 if last else counts)
    return (counts.cumsum(1) > 0) & (remaining > 0)
