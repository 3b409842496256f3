"""Eight procedural textures that look like photographed surfaces, and the noise they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.floating]
Colour = tuple[float, float, float]


@lru_cache(maxsize=512)
def _splines(size: int, cells: int) -> Array:
    """(size, cells + 3) cubic B-spline weights that interpolate a row of knots at pixel centres."""
    position = (np.arange(size) + 0.5) / size * cells
    cell = np.floor(position).astype(int)
    t = position - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    matrix = np.zeros((size, cells + 3), np.float32)
    np.put_along_axis(matrix, cell[:, None] + np.arange(4), weights.astype(np.float32), 1)
    return matrix


@dataclass(frozen=True)
class Surface:
    """Noise fields on a square of pixels; the same random numbers give the same scene at every size.

    Attributes:
        size: side in pixels.
        random: generator of all draws.
    """

    size: int
    random: Generator

    @property
    def x(self) -> Array:
        """(1, size) column centres in [0, 1]."""
        return ((np.arange(self.size, dtype=np.float32) + 0.5) / self.size)[None, :]

    @property
    def y(self) -> Array:
        """(size, 1) row centres in [0, 1]."""
        return self.x.T

    def smooth(self, rows: int, columns: int) -> Array:
        """(size, size) smooth noise of about unit variance with that many bumps down and across."""
        knots = self.random.standard_normal((rows + 3, columns + 3), dtype=np.float32)
        return 2.0 * (_splines(self.size, rows) @ knots @ _splines(self.size, columns).T)

    def fractal(self, rows: int, columns: int, octaves: int, *, gain: float = 0.5) -> Array:
        """(size, size) noise with detail at `octaves` scales, each twice as fine and `gain` times as strong."""
        layers = [gain**k * self.smooth(rows << k, columns << k) for k in range(octaves)]
        return np.sum(layers, 0) / math.sqrt(sum(gain ** (2 * k) for k in range(octaves)))

    def warped(self, field: Array, right: Array, down: Array | None = None) -> Array:
        """The field resampled at offsets `right` and `down`, relative to the side; mirrored at the border."""
        left, next_left, across = self._neighbours(self.x + right)
        if down is None:
            rows = np.arange(self.size)[:, None]
            return field[rows, left] * (1 - across) + field[rows, next_left] * across
        top, next_top, along = self._neighbours(self.y + down)
        upper = field[top, left] * (1 - across) + field[top, next_left] * across
        lower = field[next_top, left] * (1 - across) + field[next_top, next_left] * across
        return upper * (1 - along) + lower * along

    def _neighbours(self, position: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """The two pixels around a position in [-1, 2], and the interpolation weight of the second."""
        mirrored = 1 - np.abs(1 - np.abs(position))
        pixel = np.clip(mirrored * self.size - 0.5, 0, self.size - 1)
        first, towards = np.floor(pixel).astype(np.intp), pixel % 1
        return first, np.minimum(first + 1, self.size - 1), towards


def _level(field: Array, low: float, high: float) -> Array:
    """Map `low`…`high` to 0…1 with soft ends."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _grass(surface: Surface) -> Array:
    bend, layers = 0.08 * surface.smooth(2, 3), []
    for rows, columns in ((5, 30), (7, 44)):
        layers.append(surface.warped(surface.smooth(rows, columns), bend))
    return _level(np.maximum(*layers) + 0.4 * surface.smooth(4, 4), -0.9, 2.1)


def _bark(surface: Surface) -> Array:
    furrow = surface.warped(surface.fractal(3, 11, 2), 0.03 * surface.smooth(6, 4), 0.03 * surface.smooth(5, 5))
    return _level(np.abs(furrow) + 0.22 * surface.smooth(24, 40) + 0.15 * surface.smooth(3, 3), -0.1, 1.6)


def _sand(surface: Surface) -> Array:
    waves = surface.random.uniform(5, 9)
    slant = surface.random.uniform(-3, 3)
    ripple = np.sin(2 * np.pi * (waves * surface.y + slant * surface.x + 0.35 * surface.smooth(3, 3)))
    return _level(0.5 * ripple + 0.5 * surface.smooth(60, 60) + 0.5 * surface.smooth(3, 3), -2.0, 2.0)


def _clouds(surface: Surface) -> Array:
    return _level(surface.fractal(2, 3, 5, gain=0.48), -0.9, 1.3)


def _water(surface: Surface) -> Array:
    swell = surface.warped(surface.fractal(9, 4, 2), 0.05 * surface.smooth(4, 3), 0.03 * surface.smooth(3, 4))
    glint = np.maximum(0, 1 - 2.2 * np.abs(swell)) ** 2
    return np.clip(0.45 + 0.16 * swell + 0.12 * surface.smooth(3, 2) + 0.5 * glint * _level(surface.smooth(5, 4), -0.3, 1.2), 0, 1)


def _brick(surface: Surface) -> Array:
    courses, ratio = int(surface.random.integers(6, 10)), surface.random.uniform(1.8, 2.6)
    v = surface.y * courses + surface.random.uniform() + 0.05 * surface.smooth(3, 3)
    row = np.floor(v)
    u = surface.x * courses / ratio + 0.5 * (row % 2) + surface.random.uniform() + 0.03 * surface.smooth(3, 3)
    tone = surface.random.uniform(0.45, 0.85, (16, 16)).astype(np.float32)[row.astype(np.intp) % 16, np.floor(u).astype(np.intp) % 16]
    gap = np.minimum(np.minimum(v % 1, 1 - v % 1), ratio * np.minimum(u % 1, 1 - u % 1))  # distance to mortar, in courses
    face = tone + 0.1 * surface.smooth(20, 20) + 0.05 * surface.smooth(50, 50)
    return np.clip(face * _level(gap, 0.02, 0.16) + 0.08, 0, 1)


def _gravel(surface: Surface) -> Array:
    cells = int(surface.random.integers(8, 13))
    jitter = surface.random.uniform(0.1, 0.9, (2, cells, cells)).astype(np.float32)
    tone = surface.random.uniform(0.35, 1.0, (cells, cells)).astype(np.float32)
    u = surface.x * cells + 0.15 * surface.smooth(14, 14)
    v = surface.y * cells + 0.15 * surface.smooth(14, 14)
    column, row = np.floor(u), np.floor(v)
    first, second, colour = np.full((3, surface.size, surface.size), 9.0, np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            i, j = (row.astype(np.intp) + down) % cells, (column.astype(np.intp) + right) % cells
            gap = (u - column - right - jitter[0][i, j]) ** 2 + (v - row - down - jitter[1][i, j]) ** 2
            colour = np.where(gap < first, tone[i, j], colour)
            second = np.minimum(second, np.maximum(first, gap))
            first = np.minimum(first, gap)
    rim = np.sqrt(second) - np.sqrt(first)  # 0 where two stones meet
    return np.clip(colour * (0.25 + 0.75 * _level(rim, 0.0, 0.45)) + 0.06 * surface.smooth(40, 40), 0, 1)


def _marble(surface: Surface) -> Array:
    stone = surface.fractal(3, 3, 4)
    angle = surface.random.uniform(0, np.pi)
    along = math.cos(angle) * surface.x + math.sin(angle) * surface.y
    vein = np.abs(np.sin(2 * np.pi * (1.6 * along + 0.28 * stone + surface.random.uniform())))
    fine = np.abs(surface.fractal(4, 4, 3))
    return np.clip(0.95 - 0.6 * (1 - vein) ** 3 - 0.3 * np.maximum(0, 1 - 5 * fine) + 0.07 * stone, 0, 1)


_PATTERNS: dict[str, Callable[[Surface], Array]] = {
    "grass": _grass,
    "bark": _bark,
    "sand": _sand,
    "clouds": _clouds,
    "water": _water,
    "brick": _brick,
    "gravel": _gravel,
    "marble": _marble,
}
TEXTURES = tuple(_PATTERNS)

# Dark, middle and light tone of each surface in several weathers. The palettes of different surfaces overlap on
# purpose (straw and sand, grey bark and gravel, storm clouds and water): colour alone does not identify a surface.
_PALETTES: dict[str, tuple[tuple[Colour, Colour, Colour], ...]] = {
    "grass": (((0.06, 0.14, 0.05), (0.24, 0.40, 0.14), (0.62, 0.74, 0.36)), ((0.22, 0.18, 0.08), (0.56, 0.48, 0.24), (0.86, 0.78, 0.50))),
    "bark": (((0.10, 0.07, 0.05), (0.38, 0.28, 0.20), (0.66, 0.55, 0.43)), ((0.13, 0.13, 0.13), (0.44, 0.43, 0.41), (0.74, 0.73, 0.70)),
             ((0.09, 0.10, 0.06), (0.33, 0.35, 0.22), (0.58, 0.60, 0.42))),
    "sand": (((0.46, 0.36, 0.22), (0.76, 0.64, 0.44), (0.95, 0.87, 0.70)), ((0.34, 0.31, 0.28), (0.60, 0.57, 0.52), (0.84, 0.82, 0.78)),
             ((0.38, 0.20, 0.13), (0.68, 0.42, 0.28), (0.90, 0.68, 0.50))),
    "clouds": (((0.20, 0.40, 0.72), (0.58, 0.72, 0.90), (0.98, 0.98, 0.99)), ((0.28, 0.31, 0.36), (0.56, 0.59, 0.63), (0.86, 0.87, 0.88)),
               ((0.36, 0.28, 0.42), (0.82, 0.54, 0.44), (0.99, 0.86, 0.66))),
    "water": (((0.02, 0.12, 0.24), (0.12, 0.38, 0.56), (0.80, 0.92, 0.97)), ((0.04, 0.16, 0.15), (0.18, 0.42, 0.38), (0.80, 0.90, 0.84)),
              ((0.14, 0.16, 0.19), (0.40, 0.43, 0.47), (0.88, 0.90, 0.91))),
    "brick": (((0.20, 0.15, 0.13), (0.54, 0.26, 0.18), (0.82, 0.52, 0.40)), ((0.28, 0.24, 0.18), (0.68, 0.54, 0.34), (0.90, 0.80, 0.60)),
              ((0.18, 0.18, 0.18), (0.48, 0.46, 0.44), (0.78, 0.76, 0.73))),
    "gravel": (((0.10, 0.10, 0.10), (0.46, 0.45, 0.43), (0.84, 0.83, 0.80)), ((0.14, 0.10, 0.07), (0.50, 0.40, 0.30), (0.86, 0.76, 0.64)),
               ((0.12, 0.14, 0.17), (0.40, 0.45, 0.50), (0.76, 0.80, 0.84))),
    "marble": (((0.24, 0.24, 0.26), (0.74, 0.73, 0.72), (0.97, 0.96, 0.94)), ((0.08, 0.18, 0.15), (0.28, 0.46, 0.40), (0.66, 0.80, 0.72)),
               ((0.36, 0.22, 0.20), (0.78, 0.60, 0.54), (0.97, 0.88, 0.82))),
}  # fmt: skip


def paint(kind: str, surface: Surface) -> Array:
    """Paint a surface in one of its palettes with random tint.

    Returns:
        (size, size, 3) colours, about [0, 1].
    """
    palettes = _PALETTES[kind]
    tones = np.array(palettes[surface.random.integers(len(palettes))], np.float32)
    tones = tones * surface.random.uniform(0.88, 1.12, 3).astype(np.float32)
    return ramp(_PATTERNS[kind](surface), tones)


def ramp(field: Array, tones: Array) -> Array:
    """Colour a field in [0, 1] with dark, middle and light tones (3, 3)."""
    dark, middle, light = tones
    low, high = np.minimum(2 * field, 1)[..., None], np.maximum(2 * field - 1, 0)[..., None]
    return dark + (middle - dark) * low + (light - middle) * high
