"""Object ablation by tiling: the box of each connected component is filled with the largest adjacent tile.

Hard-ImageNet (Moayeri et al. 2022): of the four boxes of the same size around the component's box, each cropped at the
image border and at objects, the largest is repeated until the box is full.

`official` reproduces the release, which the published numbers come from. It differs: rows and columns are exchanged when a
tile is read; boxes lack their last two rows and columns; the tile before the box along the second axis extends into it; two of
the four tiles are searched for objects along the wrong axis; a tile with an object in it is compared, and in two
directions cropped, by the length to remove.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camdbench.functional.connected_components import regions

Span = tuple[int, int]  # start and stop of rows or columns
Box = tuple[Span, Span]


class _Tile(NamedTuple):
    """Tile adjacent to a box, as long as the box on the other axis.

    Attributes:
        size: area by which tiles are compared.
        axis: 0 above or below the box, 1 beside it.
        span: extent along that axis.
        before: whether it lies above or to the left.
    """

    size: int
    axis: int
    span: Span
    before: bool


class TiledImage(NamedTuple):
    """Images with covered objects.

    Attributes:
        images: (B, 3, H, W).
        covered: (B,) bool, whether every component has an adjacent tile; a component without one is unchanged.
    """

    images: Tensor
    covered: Tensor


def tile_objects(images: Tensor, masks: Tensor, *, official: bool) -> TiledImage:
    """Fill the box of each 4-connected component of the masks with the largest adjacent tile.

    Components are filled one after another; a later tile may contain an earlier filling.

    Args:
        images: (B, 3, H, W).
        masks: (B, H, W) bool.
        official: as the release does, on square images; a box without an adjacent tile becomes black.
    """
    if official and images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images = {tuple(images.shape)}: the release exchanges rows and columns; use square images")
    found = regions(masks, 4)
    boxes = [found.boxes[found.owner == index].long().tolist() for index in range(len(images))]
    filled = [_fill_boxes(*one, official) for one in zip(images, masks.cpu().numpy(), boxes, strict=True)]
    covered = torch.tensor([whole for _, whole in filled], device=images.device, dtype=torch.bool)
    return TiledImage(torch.stack([image for image, _ in filled]), covered)


def _fill_boxes(image: Tensor, mask: NDArray[np.bool_], boxes: list[list[int]], official: bool) -> tuple[Tensor, bool]:
    """One image with filled boxes xyxy, and whether each had an adjacent tile."""
    image, covered = image.clone(), True
    source, objects = (image.transpose(1, 2), mask.T) if official else (image, mask)  # a view: includes earlier fillings
    for box in _spans(boxes, official):
        tile = _largest_tile(objects, box, official)
        target = image[:, slice(*box[0]), slice(*box[1])]
        if tile.span[0] < tile.span[1]:
            rows, columns = (torch.from_numpy(_places(tile, axis, box[axis])).to(image.device) for axis in (0, 1))
            target.copy_(source[:, rows][:, :, columns])
        elif official:
            target.zero_()
        else:
            covered = False
    return image, covered


def _spans(boxes: list[list[int]], official: bool) -> list[Box]:
    """Rows and columns to fill, from boxes xyxy."""
    missing = 2 if official else 0  # the release loses one when it draws the box, another when it reads the corners
    spans = [((y0, y1 - missing), (x0, x1 - missing)) for x0, y0, x1, y1 in boxes]
    return [(rows, columns) for rows, columns in spans if rows[0] < rows[1] and columns[0] < columns[1]]


def _largest_tile(objects: NDArray[np.bool_], box: Box, official: bool) -> _Tile:
    """Largest tile adjacent to a box; the first of equals."""
    if official:
        order = ((0, False), (0, True), (1, False), (1, True))
        return max((_adjacent_official(objects, box, *place) for place in order), key=lambda tile: tile.size)
    order = ((1, False), (1, True), (0, False), (0, True))
    return max((_adjacent(objects, box, *place) for place in order), key=lambda tile: tile.size)


def _adjacent(objects: NDArray[np.bool_], box: Box, axis: int, before: bool) -> _Tile:
    """The next box along an axis, cropped at the image border and at objects."""
    (low, high), across = box[axis], slice(*box[1 - axis])
    start, stop = (max(2 * low - high, 0), low) if before else (high, min(2 * high - low, objects.shape[axis]))
    occupied = np.flatnonzero(np.moveaxis(objects, axis, 0)[start:stop, across].any(1))
    free = stop - start
    if len(occupied):
        free = free - 1 - int(occupied[-1]) if before else int(occupied[0])
    span = (stop - free, stop) if before else (start, start + free)
    return _Tile(free * (across.stop - across.start), axis, span, before)


def _adjacent_official(objects: NDArray[np.bool_], box: Box, axis: int, before: bool) -> _Tile:
    """The tile with the errors of the release, on transposed image and mask."""
    (low, high), across = box[axis], slice(*box[1 - axis])
    start, stop = high, min(2 * high - low, objects.shape[axis])
    if before:
        start, stop = max(2 * low - high, 0), high if axis == 1 else low
    window = np.moveaxis(objects, axis, 0)[start:stop, across]
    width, length = across.stop - across.start, stop - start
    if not window.any():
        return _Tile(length * width, axis, (start, stop), before)
    occupied = np.flatnonzero(window.any(1 if (axis == 0) != before else 0))  # wrong axis in two of the four cases
    if before:
        cut = int(occupied[-1]) + 1
        cut = cut if cut < length else 0
        return _Tile(cut * width, axis, (start + cut, stop), before)
    cut = length - min(int(occupied[0]), length) if occupied[0] else 0
    return _Tile(cut * width, axis, (start, start + cut), before)


def _places(tile: _Tile, axis: int, span: Span) -> NDArray[np.int64]:
    """Source rows or columns of a box; the tile repeats starting at its side of the box."""
    if axis != tile.axis:
        return np.arange(*span)
    start, stop = tile.span
    steps = np.arange(span[1] - span[0]) % (stop - start)
    return stop - 1 - steps[::-1] if tile.before else start + steps
