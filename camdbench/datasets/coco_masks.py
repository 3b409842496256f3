"""Masks of COCO's annotation files: run lengths, compressed or not, and polygons, with the semantics of pycocotools.

Runs go down the columns and start with background. A polygon is drawn as a line on a grid five times finer; a pixel of a column
changes where the line crosses the middle of the column, which rounds edges otherwise than a test of pixel centres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camdbench.core.errors import SampleError

_FINER = 5


def read_segmentation(given: Any, size: tuple[int, int]) -> Tensor:
    """The mask (H, W) bool of an annotation's `segmentation`.

    Args:
        given: a list of polygons x0, y0, x1, y1, …, or a dict with `counts` and `size`.
        size: height and width of the image.

    Raises:
        SampleError: it has another form or another size.
    """
    try:
        if isinstance(given, Mapping):
            if tuple(given["size"]) != size:
                raise SampleError(f"the run lengths are of an image of {tuple(given['size'])}, the image is {size}, height first")
            counts = given["counts"]
            return mask_of_runs(runs_of_text(counts) if isinstance(counts, str | bytes) else counts, size)
        polygons = [mask_of_polygon(polygon, size) for polygon in given]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SampleError(f"a segmentation cannot be read ({error})") from None
    return torch.stack([torch.zeros(size, dtype=torch.bool), *polygons]).any(0)


def runs_of_text(text: str | bytes) -> list[int]:
    """Run lengths from their compressed text: numbers of 5 bits per character, from the fourth on differences to the last but one.

    >>> runs_of_text("1230")
    [1, 2, 3, 2]

    Raises:
        ValueError: the text ends within a number.
    """
    codes = [ord(char) - 48 for char in (text.decode("ascii") if isinstance(text, bytes) else text)]
    found, value, shift = list[int](), 0, 0
    for code in codes:
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (1 << shift) if code & 16 else 0
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("the text of run lengths ends within a number")
    return found


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Tensor:
    """The mask (H, W) bool of run lengths, background first, down the columns.

    >>> mask_of_runs([1, 2, 3], (2, 3)).int()
    tensor([[0, 1, 0],
            [1, 0, 0]], dtype=torch.int32)

    Raises:
        ValueError: a run is negative, or they do not fill the image.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise ValueError(f"run lengths sum to {lengths.sum()}, not {size[0] * size[1]}")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return torch.from_numpy(np.ascontiguousarray(flat.reshape(size[::-1]).T))


def mask_of_polygon(polygon: Sequence[float], size: tuple[int, int]) -> Tensor:
    """The mask (H, W) bool of one polygon x0, y0, x1, y1, … in pixels.

    Raises:
        ValueError: fewer than three points, or an odd number of coordinates.
    """
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon of {points.size} numbers; expected x and y of three points or more")
    corners = np.trunc(points.reshape(-1, 2) * _FINER + 0.5).astype(np.int64)
    line = np.concatenate([_edge(*pair) for pair in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    height, width = size
    before, after = line[:-1], line[1:]
    turns = before[:, 0] != after[:, 0]
    before, after = before[turns], after[turns]
    columns = (np.where(after[:, 0] < before[:, 0], after[:, 0], after[:, 0] - 1) + 0.5) / _FINER - 0.5
    inside = (columns == np.floor(columns)) & (columns >= 0) & (columns <= width - 1)
    rows = np.ceil(np.clip((np.minimum(before[:, 1], after[:, 1]) + 0.5) / _FINER - 0.5, 0, height))
    changes = (columns[inside] * height + rows[inside]).astype(np.int64)
    flat = np.cumsum(np.bincount(changes, minlength=height * width + 1))[: height * width] % 2 == 1
    return torch.from_numpy(np.ascontiguousarray(flat.reshape(width, height).T))


def _edge(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Points (n, 2) of an edge on the fine grid, from start to end, one per step along its longer side."""
    along = 0 if abs(end[0] - start[0]) >= abs(end[1] - start[1]) else 1
    across = 1 - along
    flipped = bool(start[along] > end[along])
    first, last = (end, start) if flipped else (start, end)
    steps = np.arange(last[along] - first[along] + 1)
    slope = (last[across] - first[across]) / max(1, last[along] - first[along])
    found = np.empty((len(steps), 2), dtype=np.int64)
    found[:, along] = steps + first[along]
    found[:, across] = np.trunc(first[across] + slope * steps + 0.5)
    return found[::-1] if flipped else found
