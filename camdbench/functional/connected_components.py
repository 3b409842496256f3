"""Connected components of stacks of binary masks: areas and boxes.

One call of scipy on the CPU labels a whole stack; horizontal runs, few in smooth maps, give areas and boxes.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Connectivity = Literal[4, 8]


class Components(NamedTuple):
    """M components of N masks, by mask, then by their first pixel in raster order; on the CPU.

    Attributes:
        owner: (M,) int64, index of the mask.
        area: (M,) float64, in pixels; for `outlines` the enclosed area.
        boxes: (M, 4) float64 xyxy in pixels, exclusive ends.
    """

    owner: Tensor
    area: Tensor
    boxes: Tensor


def regions(masks: Tensor, connectivity: Connectivity = 8) -> Components:
    """Connected components of masks (N, H, W) bool; neighbours share a side (4) or also a corner (8).

    >>> regions(torch.tensor([[[0, 0, 0, 1, 1, 1, 1, 0]]]).bool()).boxes.tolist()  # columns 3 to 6
    [[3.0, 0.0, 7.0, 1.0]]
    """
    return _measure(*_label(_on_host(masks), connectivity))


def holes(masks: Tensor) -> Components:
    """Holes of masks (N, H, W) bool with 8-connected components: 4-connected background that touches no border."""
    found = regions(~masks, 4)
    inner = (found.boxes[:, :2] > 0).all(1) & (found.boxes[:, 2:] < torch.tensor([masks.shape[2], masks.shape[1]])).all(1)
    return Components(*(part[inner] for part in found))


def outlines(masks: Tensor) -> Components:
    """Outermost 8-connected components of masks (N, H, W) bool, holes filled, with the area enclosed by their contour.

    The contour runs through the centres of the border pixels, as in OpenCV: a component one pixel wide has area 0, four
    pixels in a square enclose 1, three enclose 1/2.
    """
    host = _on_host(masks)
    labels, count = _label(host | _holes(host), 8)
    pairs = np.maximum(labels[:, :, :-1], labels[:, :, 1:])
    squares = np.maximum(pairs[:, :-1], pairs[:, 1:])  # pixels of a 2 x 2 square are connected and share one label
    present = (labels > 0).view(np.uint8)
    present = present[:, :, :-1] + present[:, :, 1:]
    present = present[:, :-1] + present[:, 1:]
    whole, half = (np.bincount(squares[present == corners], minlength=count + 1)[1:] for corners in (4, 3))
    return _measure(labels, count)._replace(area=torch.from_numpy(whole + 0.5 * half))


def largest_component(found: Components, count: int, *, ties: Literal["first", "last"] = "first") -> Tensor:
    """Box of the largest component of each of `count` masks, (count, 4); zeros for an empty mask.

    `ties` chooses among equal areas, in raster order.
    """
    boxes = torch.zeros(count, 4, dtype=torch.float64)
    index = np.arange(len(found.owner))
    order = np.lexsort((-index if ties == "first" else index, found.area.numpy(), found.owner.numpy()))
    owner = found.owner.numpy()[order]
    last = torch.from_numpy(order[np.append(owner[1:] != owner[:-1], True)[: len(owner)]])  # the largest of each mask
    boxes[found.owner[last]] = found.boxes[last]
    return boxes


def _on_host(masks: Tensor) -> NDArray[np.bool_]:
    return masks.detach().cpu().numpy()


def _label(masks: NDArray[np.bool_], connectivity: Connectivity) -> tuple[NDArray[np.int32], int]:
    """Labels (N, H, W) from 1, mask by mask; components never span two masks."""
    from scipy import ndimage

    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    labels = np.empty(masks.shape, dtype=np.int32)
    count: Any = ndimage.label(masks, structure, output=labels)
    return labels, int(count)


def _measure(labels: NDArray[np.int32], count: int) -> Components:
    """Areas and boxes from the horizontal runs of labels (N, H, W); adjacent labelled pixels have the same label."""
    stack, height, width = labels.shape
    padded = np.zeros((stack * height, width + 2), dtype=bool)
    padded[:, 1:-1] = labels.reshape(-1, width) > 0
    edges = np.flatnonzero(padded[:, 1:] != padded[:, :-1])  # alternately the first column of a run and the one after its last
    line, start = np.divmod(edges[0::2], width + 1)
    end = edges[1::2] - line * (width + 1)
    mask, row = np.divmod(line, height)
    of = labels[mask, row, start] - 1
    owner, x0, y0 = np.zeros(count, np.int64), np.full(count, width), np.full(count, height)
    x1, y1 = np.zeros(count, np.int64), np.zeros(count, np.int64)
    owner[of] = mask
    np.minimum.at(x0, of, start)
    np.minimum.at(y0, of, row)
    np.maximum.at(x1, of, end)
    np.maximum.at(y1, of, row + 1)
    area = np.bincount(of, weights=end - start, minlength=count)
    boxes = np.stack([x0, y0, x1, y1], axis=1).astype(np.float64)
    return Components(torch.from_numpy(owner), torch.from_numpy(area), torch.from_numpy(boxes))


def _holes(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = _label(~masks, 4)
    hole = np.ones(count + 1, dtype=bool)
    hole[0] = False
    for border in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        hole[border] = False
    return hole[labels]
