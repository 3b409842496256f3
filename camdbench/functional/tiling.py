"""Objects covered by what lies beside them: the box of each connected component, filled with the largest tile next to it.

Hard-ImageNet's ablation (Moayeri et al. 2022): of the four boxes of the same size around the component's box,
each cut off at the edge of the image and before any object, the largest is repeated until the box is full.

The released code does something else, which the numbers in print are made with. Rows are taken for columns when a tile is
fetched, so it comes from the other side of the diagonal; boxes lack their last two rows and columns; the tile before the box
in the second direction runs on into it; two of the four tiles are searched for objects along the wrong axis; and a tile
with an object in it is compared, and in two directions cut, by what should have been taken away. `official` does all that.
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
    """A tile beside a box, as long as the box across the axis along which it lies.

    Attributes:
        size: what tiles are compared by.
        axis: 0 for a tile above or below the box, 1 for one to its side.
        span: its places along that axis.
        before: whether it lies above or to the left.
    """

    size: int
    axis: int
    span: Span
    before: bool


class TiledImage(NamedTuple):
    """Images whose objects are covered.

    Attributes:
        images: (B, 3, H, W).
        covered: (B,) bool, whether a tile was found for every component; a component without one is left as it is.
    """

    images: Tensor
    covered: Tensor


def tile_objects(images: Tensor, masks: Tensor, *, official: bool) -> TiledImage:
    """Fill the box of each connected component of the masks with the largest tile beside it.

    Components share sides, not corners, and are filled one after the other, so a later tile may show an earlier filling.

    Args:
        images: (B, 3, H, W).
        masks: (B, H, W) bool.
        official: as the released code does, on square images; there a box beside which there is no tile becomes black.
    """
    if official and images.shape[-1] != images.shape[-2]:
        raise ValueError("the release takes rows for columns, which square images alone allow")
    found = regions(masks, 4)
    boxes = [found.boxes[found.owner == index].long().tolist() for index in range(len(images))]
    filled = [_tiled(*one, official) for one in zip(images, masks.cpu().numpy(), boxes, strict=True)]
    covered = torch.tensor([whole for _, whole in filled], device=images.device, dtype=torch.bool)
    return TiledImage(torch.stack([image for image, _ in filled]), covered)


def _tiled(image: Tensor, mask: NDArray[np.bool_], boxes: list[list[int]], official: bool) -> tuple[Tensor, bool]:
    """One image, and whether each of its boxes, xyxy, found a tile."""
    image, covered = image.clone(), True
    source, objects = (image.transpose(1, 2), mask.T) if official else (image, mask)  # a view: it sees what has been filled
    for box in _filled(boxes, official):
        tile = _largest(objects, box, official)
        target = image[:, slice(*box[0]), slice(*box[1])]
        if tile.span[0] < tile.span[1]:
            rows, columns = (torch.from_numpy(_places(tile, axis, box[axis])).to(image.device) for axis in (0, 1))
            target.copy_(source[:, rows][:, :, columns])
        elif official:
            target.zero_()
        else:
            covered = False
    return image, covered


def _filled(boxes: list[list[int]], official: bool) -> list[Box]:
    """The rows and columns to fill of boxes xyxy."""
    missing = 2 if official else 0  # one is lost when the box is drawn, another when its corners are read off the drawing
    spans = [((y0, y1 - missing), (x0, x1 - missing)) for x0, y0, x1, y1 in boxes]
    return [(rows, columns) for rows, columns in spans if rows[0] < rows[1] and columns[0] < columns[1]]


def _largest(objects: NDArray[np.bool_], box: Box, official: bool) -> _Tile:
    """The largest tile beside a box; the first of equally large ones."""
    if official:
        order = ((0, False), (0, True), (1, False), (1, True))
        return max((_beside_as_released(objects, box, *place) for place in order), key=lambda tile: tile.size)
    order = ((1, False), (1, True), (0, False), (0, True))
    return max((_beside(objects, box, *place) for place in order), key=lambda tile: tile.size)


def _beside(objects: NDArray[np.bool_], box: Box, axis: int, before: bool) -> _Tile:
    """The part of the next box along an axis that lies in the image and in which there is no object on the way."""
    (low, high), across = box[axis], slice(*box[1 - axis])
    start, stop = (max(2 * low - high, 0), low) if before else (high, min(2 * high - low, objects.shape[axis]))
    occupied = np.flatnonzero(np.moveaxis(objects, axis, 0)[start:stop, across].any(1))
    free = stop - start
    if len(occupied):
        free = free - 1 - int(occupied[-1]) if before else int(occupied[0])
    span = (stop - free, stop) if before else (start, start + free)
    return _Tile(free * (across.stop - across.start), axis, span, before)


def _beside_as_released(objects: NDArray[np.bool_], box: Box, axis: int, before: bool) -> _Tile:
    """The same with the errors of the release, on an image and a mask that it has turned over their diagonal."""
    (low, high), across = box[axis], slice(*box[1 - axis])
    start, stop = high, min(2 * high - low, objects.shape[axis])
    if before:
        start, stop = max(2 * low - high, 0), high if axis == 1 else low
    window = np.moveaxis(objects, axis, 0)[start:stop, across]
    width, length = across.stop - across.start, stop - start
    if not window.any():
        return _Tile(length * width, axis, (start, stop), before)
    occupied = np.flatnonzero(window.any(1 if (axis == 0) != before else 0))  # the wrong axis in two of the four cases
    if before:
        cut = int(occupied[-1]) + 1
        cut = cut if cut < length else 0
        return _Tile(cut * width, axis, (start + cut, stop), before)
    cut = length - min(int(occupied[0]), length) if occupied[0] else 0
    return _Tile(cut * width, axis, (start, start + cut), before)


def _places(tile: _Tile, axis: int, span: Span) -> NDArray[np.int64]:
    """Where the rows or columns of a box come from: a tile repeats from its side of the box on."""
    if axis != tile.axis:
        return np.arange(*span)
    start, stop = tile.span
    steps = np.arange(span[1] - span[0]) % (stop - start)
    return stop - 1 - steps[::-1] if tile.before else start + steps
