"""Boxes as pixels: which pixels they cover, what is left of them inside an image, how far two of them overlap.

Boxes are xyxy in pixels with exclusive ends: columns 3 to 6 are x0 = 3, x1 = 7. A pixel belongs to a box if its
centre does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def union_mask(boxes: Sequence[Tensor], size: tuple[int, int], *, inclusive: bool = False) -> Tensor:
    """The pixels that lie in any box of their image, (B, H, W) bool, from B tensors (n, 4); none where n is 0.

    Args:
        boxes: xyxy, whole or fractional, also partly or wholly outside the image.
        size: height and width of the image.
        inclusive: count the column x1 and the row y1 too, for boxes whose ends name the last pixel.

    >>> union_mask([torch.tensor([[1.0, 0.0, 3.0, 9.0]])], (1, 5)).tolist()
    [[[False, True, True, False, False]]]
    """
    masks = list[Tensor]()
    for own in boxes:
        y, x = (torch.arange(side, device=own.device) + 0.5 for side in size)
        x0, y0, x1, y1 = (edge[:, None] for edge in own.unbind(1))  # each (n, 1)
        across, down = (x >= x0) & (x < x1 + inclusive), (y >= y0) & (y < y1 + inclusive)  # (n, W), (n, H)
        masks.append((down[:, :, None] & across[:, None, :]).any(0))
    return torch.stack(masks)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """What is left of boxes (n, 4) inside an image of that height and width; those of which nothing is left are gone.

    >>> clip(torch.tensor([[-2.0, 1.0, 3.0, 9.0], [7.0, 0.0, 9.0, 2.0]]), (4, 6)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    height, width = size
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    inside = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)
    return inside[(x[:, 1] > x[:, 0]) & (y[:, 1] > y[:, 0])]


def best_iou(predicted: Tensor, truth: Tensor, *, inclusive: bool = False) -> Tensor:
    """The largest intersection over union of each box (N, 4) with any true box (M, 4): (N,) float64 in [0, 1].

    An empty box overlaps nothing, and nothing overlaps where M is 0. With `inclusive` the ends are pixels of the box, so
    every side is one longer: the IoU of wsolevaluation.

    >>> best_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 4.0], [5.0, 5.0, 6.0, 6.0]])).item()
    0.5
    """
    from torchvision.ops import box_iou

    if not len(truth):
        return torch.zeros(len(predicted), dtype=torch.float64)
    longer = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64) * inclusive
    table = box_iou(predicted.cpu().double() + longer, truth.cpu().double() + longer)
    return table.nan_to_num(0.0).amax(1)  # 0/0 of two empty boxes
