"""A saliency map of a resized and cropped image, placed back on the pixels of its file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camdbench.functional.file_boxes import Placement


def covered(placement: Placement, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the file's pixels whose centres lie in an input of (height, width); one of each at least.

    >>> covered(Placement((8, 16), (4, 8), (0, 2)), (4, 4))
    (slice(0, 8, None), slice(4, 12, None))
    """
    edges = zip(placement.file, placement.resized, placement.corner, size, strict=True)
    rows, columns = (_inside(*own) for own in edges)
    return rows, columns


def place_map(saliency: NDArray[Any], placement: Placement) -> NDArray[np.float32]:
    """Resize the map of an input to the pixels of its file, bilinearly; 0 outside the crop.

    The inverse of resize and centre crop: pixel centres correspond, and a map that is reduced is averaged (antialiasing).

    >>> place_map(np.array([[0.0, 1.0]]), Placement((1, 4), (1, 4), (0, 1))).tolist()
    [[0.0, 0.0, 1.0, 0.0]]

    Args:
        saliency: (h, w) finite, of the input.
        placement: how the pixels of the file became those of the input; not flipped.

    Returns:
        (H, W) of the file, in the range of the map.
    """
    (height, width), (tall, wide), (top, left), _ = placement
    rows, columns = covered(placement, (saliency.shape[0], saliency.shape[1]))
    down, right = tall / height, wide / width  # pixels of the input per pixel of the file
    edge = math.ceil(max(down, right)) + 1
    wider = Image.fromarray(np.pad(saliency.astype(np.float32), edge, mode="edge"))
    box = (columns.start * right - left, rows.start * down - top, columns.stop * right - left, rows.stop * down - top)
    inside = (
        min(max(value + edge, 0), limit) for value, limit in zip(box, (wider.width, wider.height, wider.width, wider.height), strict=True)
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    placed = wider.resize(size, Image.Resampling.BILINEAR, box=tuple(inside))
    found = np.zeros((height, width), dtype=np.float32)
    found[rows, columns] = np.clip(np.asarray(placed), saliency.min(), saliency.max())  # weights sum to 1 up to rounding
    return found


def _inside(pixels: int, resized: int, first: int, length: int) -> slice:
    """Pixels along one axis of the file whose centres lie in [first, first + length) of the resized image."""
    scale = pixels / resized
    start = min(max(math.ceil(first * scale - 0.5), 0), pixels - 1)
    return slice(start, min(max(math.ceil((first + length) * scale - 0.5), start + 1), pixels))
