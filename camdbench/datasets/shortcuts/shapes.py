"""Outlines of the eight object classes, and their pixel coverage."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.floating]

AREA = (0.045, 0.34)  # fraction of the image; rounding to pixels stays within the documented 4-35 %
MARGIN = 0.03  # free border around the object, relative to the side
TILT = np.pi / 6  # largest rotation to either side
_ROWS = 8  # scan lines per pixel row


def _ring(radii: list[float], start: float = -np.pi / 2) -> Array:
    """Points at equal angles with the given radii, the first one at the top."""
    angles = start + 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32) * np.array(radii, np.float32)[:, None]


def _cross() -> Array:
    arm, half = 1.0, 0.34
    corner = np.array([(-half, -arm), (half, -arm), (half, -half)], np.float32)  # of the upper arm, clockwise
    quarter_turn = np.array([(0, 1), (-1, 0)], np.float32)
    return np.concatenate([corner @ np.linalg.matrix_power(quarter_turn, k) for k in range(4)])


def _arrow() -> Array:
    points = [(0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1)]
    return np.array(points, np.float32)


def _crescent() -> Array:
    """A disc of radius 1 with a bite taken from its right-hand side."""
    bite, shift = 0.85, 0.52
    x = (1 - bite**2 + shift**2) / (2 * shift)  # where the two circles meet
    outer = np.linspace(np.arccos(x), 2 * np.pi - np.arccos(x), 48)
    inner_end = np.arctan2(np.sqrt(1 - x * x), x - shift)
    inner = np.linspace(2 * np.pi - inner_end, inner_end, 32)[1:-1]
    arcs = [np.stack([np.cos(outer), np.sin(outer)], 1), np.stack([shift + bite * np.cos(inner), bite * np.sin(inner)], 1)]
    return np.concatenate(arcs).astype(np.float32)


_OUTLINES: dict[str, Callable[[], Array]] = {
    "disc": lambda: _ring([1.0] * 48),
    "triangle": lambda: _ring([1.0] * 3),
    "square": lambda: _ring([1.0] * 4, start=-np.pi / 4),
    "hexagon": lambda: _ring([1.0] * 6),
    "star": lambda: _ring([1.0, 0.42] * 5),
    "cross": _cross,
    "arrow": _arrow,
    "crescent": _crescent,
}
SHAPES = tuple(_OUTLINES)


@lru_cache
def outline(shape: str) -> Array:
    """Corners of a shape, scaled to unit area and with its bounding box around the origin.

    Returns:
        (V, 2) x and y, y pointing down, in drawing order.
    """
    points = _OUTLINES[shape]()
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    return (points - (points.min(0) + points.max(0)) / 2) / np.sqrt(area)


class Pose(NamedTuple):
    """Draws that place any shape in the unit square.

    Attributes:
        angle: rotation in radians, within `TILT` to either side.
        scale: square root of the area, relative to the side.
        corner: (2,) position in [0, 1] within the room that the shape leaves.
    """

    angle: float
    scale: float
    corner: Array


def draw_pose(random: Generator) -> Pose:
    """Random rotation, size and place."""
    return Pose(random.uniform(-TILT, TILT), random.uniform(*np.sqrt(AREA)), random.uniform(size=2))


def place(shape: str, pose: Pose) -> Array:
    """The outline of a shape in a pose, inside the unit square.

    Returns:
        (V, 2) corners relative to the side.
    """
    cosine, sine = np.cos(pose.angle), np.sin(pose.angle)
    points = outline(shape) @ np.array([[cosine, sine], [-sine, cosine]], np.float32)
    low, high = points.min(0), points.max(0)
    scale = min(pose.scale, (1 - 2 * MARGIN) / float((high - low).max()))
    corner = MARGIN + pose.corner * (1 - 2 * MARGIN - scale * (high - low))
    return ((points - low) * scale + corner).astype(np.float32)


def coverage(points: Array, size: int) -> Array:
    """Fraction of every pixel inside a polygon: exact along x, by eight scan lines along y.

    Args:
        points: (V, 2) corners relative to the side.
        size: side of the image in pixels.

    Returns:
        (size, size) in [0, 1].
    """
    start, end = points * size, np.roll(points, -1, 0) * size
    lines = ((np.arange(size * _ROWS) + 0.5) / _ROWS).astype(np.float32)[:, None]
    crossed = (start[:, 1] <= lines) != (end[:, 1] <= lines)  # (lines, V)
    rise = end[:, 1] - start[:, 1]
    slope = (end[:, 0] - start[:, 0]) / np.where(rise == 0, 1, rise)
    x = np.where(crossed, start[:, 0] + (lines - start[:, 1]) * slope, np.float32(size))
    x = np.sort(x, 1)[:, : int(crossed.sum(1).max())]
    columns = np.arange(size, dtype=np.float32)
    inside = np.zeros((size * _ROWS, size), np.float32)
    for k in range(0, x.shape[1], 2):  # the polygon lies between the crossings of each pair
        inside += np.clip(x[:, k + 1, None] - columns, 0, 1) - np.clip(x[:, k, None] - columns, 0, 1)
    return inside.reshape(size, _ROWS, size).mean(1)
