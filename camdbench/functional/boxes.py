"""Boxes: pixel masks, clipping to the image, and IoU.

Boxes are xyxy in pixels with exclusive ends: columns 3 to 6 are x0 = 3, x1 = 7. A pixel lies in a box if its centre does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def union_mask(boxes: Sequence[Tensor], size: tuple[int, int], *, inclusive: bool = False) -> Tensor:
    """Union of the boxes of each image as pixels, (B, H, W) bool, from B tensors (n, 4); empty for n = 0.

    Args:
        boxes: xyxy, also fractional or partly outside the image.
        size: height and width of the image.
        inclusive: whether column x1 and row y1 belong to the box.

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


def cell_boxes(size: tuple[int, int], n: int) -> Tensor:
    """Boxes (n * n, 4) xyxy of the cells of a mosaic of (height, width), row by row, ends exclusive.

    >>> cell_boxes((4, 6), 2).tolist()
    [[0.0, 0.0, 3.0, 2.0], [3.0, 0.0, 6.0, 2.0], [0.0, 2.0, 3.0, 4.0], [3.0, 2.0, 6.0, 4.0]]
    """
    rows, columns = ([side * index // n for index in range(n + 1)] for side in size)
    return torch.tensor([[columns[x], rows[y], columns[x + 1], rows[y + 1]] for y in range(n) for x in range(n)], dtype=torch.float32)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (n, 4) clipped to an image of (height, width); boxes outside it are dropped.

    >>> clip(torch.tensor([[-2.0, 1.0, 3.0, 9.0], [7.0, 0.0, 9.0, 2.0]]), (4, 6)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    height, width = size
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    inside = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)
    return inside[(x[:, 1] > x[:, 0]) & (y[:, 1] > y[:, 0])]


def best_iou(predicted: Tensor, truth: Tensor, *, inclusive: bool = False) -> Tensor:
    """Highest IoU of each box (N, 4) with the true boxes (M, 4): (N,) float64 in [0, 1], 0 for empty boxes and for M = 0.

    With `inclusive` both ends belong to the box, which makes every side one pixel longer (the IoU of wsolevaluation).

    >>> best_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 4.0], [5.0, 5.0, 6.0, 6.0]])).item()
    0.5
    """
    if not len(truth):
        return torch.zeros(len(predicted), dtype=torch.float64)
    longer = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64) * inclusive
    boxes, others = (predicted.cpu().double() + longer)[:, None], truth.cpu().double() + longer
    sides = torch.minimum(boxes[..., 2:], others[:, 2:]) - torch.maximum(boxes[..., :2], others[:, :2])
    shared = sides.clamp(min=0).prod(-1)  # (N, M)
    areas = [(own[..., 2:] - own[..., :2]).prod(-1) for own in (boxes, others)]
    return (shared / (areas[0] + areas[1] - shared)).nan_to_num(0.0).amax(1)  # 0/0 of two empty boxes
