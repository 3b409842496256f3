"""Rendering of one image: an object of a given shape on a given background; all else is random."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from camdbench.datasets.shortcuts.shapes import coverage, place
from camdbench.datasets.shortcuts.textures import Array, Surface, paint

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_CONTRAST = 0.25  # smallest difference in mean luminance between object and background
_SOFT = 0.025  # blur of the outline, for relief and shadow, relative to the side
# The salience of the background determines how much a network relies on it.
_VIVID = (0.5, 1.15)  # factor on the saturation of the background
_CLEAR = (0.65, 1.0)  # factor on its contrast
_FOCUSED = 0.9  # fraction of images with a sharp background
_BLUR = (0.015, 0.09)  # standard deviation of the blur otherwise, relative to the side


class Drawing(NamedTuple):
    """A rendered image and the pixels of its object.

    Attributes:
        image: (size, size, 3) 8-bit RGB.
        mask: (size, size) bool, True if the object covers at least half of the pixel.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def render(shape: str, background: str, *, size: int, random: Generator) -> Drawing:
    """Render one image.

    The object is drawn first: the same random numbers give the same object on every background, and its colour and texture
    are independent of background and class.

    Args:
        shape: name of the object's shape.
        background: name of the background's texture.
        size: side in pixels.
        random: generator of place, size, rotation, colours and textures.
    """
    surface = Surface(size, random)
    cover = coverage(place(shape, random), size)
    soft = _blurred(cover, _blur_matrix(size, _SOFT))
    thing, relief, shadow, light = _object(surface), _relief(soft, size, random), _shadow(cover, size, random), _light(surface)
    ground = _contrasted(_background(background, surface), float((thing @ _LUMINANCE).mean()), random)
    thing, ground = thing * relief[..., None], ground * (1 - shadow)[..., None]
    picture = (ground + (thing - ground) * cover[..., None]) * light[..., None]
    return Drawing((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), cover >= 0.5)


def _object(surface: Surface) -> Array:
    """(size, size, 3) colours of the object's material: any hue, one of five patterns."""
    random = surface.random
    hue, saturation, value = random.uniform(0, 1), random.uniform(0.15, 0.9), random.uniform(0.3, 0.95)
    colour = _rgb(hue, saturation, value)
    other = _rgb(hue + random.uniform(-0.15, 0.15), saturation, value * random.uniform(0.55, 0.85))
    share = _pattern(surface, int(random.integers(5)))[..., None]
    return (colour + (other - colour) * share) * (1 + 0.04 * surface.smooth(40, 40))[..., None]


def _pattern(surface: Surface, kind: int) -> Array:
    """(size, size) fraction of the second colour: uniform, mottled, striped, dotted or shaded."""
    random = surface.random
    angle, waves, phase = random.uniform(0, np.pi), random.uniform(5, 12), random.uniform(0, 1, 2).tolist()
    u = math.cos(angle) * surface.x + math.sin(angle) * surface.y
    v = math.cos(angle) * surface.y - math.sin(angle) * surface.x
    mottled = np.clip(0.5 + 0.5 * surface.fractal(5, 5, 3), 0, 1)
    if kind == 0:
        return 0.25 * mottled
    if kind == 1:
        return mottled
    if kind == 2:
        return np.clip(0.5 + 1.5 * np.sin(2 * np.pi * (waves * u + phase[0])) + 0.3 * mottled, 0, 1)
    if kind == 3:
        return np.clip(3 * np.sin(2 * np.pi * (waves * u + phase[0])) * np.sin(2 * np.pi * (waves * v + phase[1])) - 0.6, 0, 1)
    return np.clip(u + 0.3 * mottled, 0, 1)


def _rgb(hue: float, saturation: float, value: float) -> Array:
    wheel = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return (value * (1 - saturation + saturation * wheel)).astype(np.float32)


def _background(kind: str, surface: Surface) -> Array:
    """(size, size, 3) background of random saturation and contrast, sometimes blurred."""
    random = surface.random
    ground = paint(kind, surface)
    grey = (ground @ _LUMINANCE)[..., None]
    ground = grey + (ground - grey) * random.uniform(*_VIVID)
    mean = ground.mean((0, 1))
    ground = mean + (ground - mean) * random.uniform(*_CLEAR)
    focused, spread = random.uniform() < _FOCUSED, math.exp(random.uniform(*np.log(_BLUR)))
    if focused:
        return ground
    return np.stack([_blurred(ground[..., channel], _blur_matrix(surface.size, spread)) for channel in range(3)], -1)


def _contrasted(ground: Array, brightness: float, random: Generator) -> Array:
    """Scale the background until its mean luminance differs from the object's, `brightness`."""
    ground = ground * random.uniform(0.7, 1.2)
    own = float((ground @ _LUMINANCE).mean())
    if abs(own - brightness) >= _CONTRAST:
        return ground
    darker, lighter = brightness - _CONTRAST, brightness + _CONTRAST
    goal = darker if darker > 0.12 and (own <= brightness or lighter > 0.85) else lighter
    return ground * (goal / own) if goal < own else 1 - (1 - ground) * ((1 - goal) / (1 - own))


def _blur_matrix(size: int, spread: float, shift: float = 0.0) -> Array:
    """(size, size) weights of a Gaussian blur along one axis, of standard deviation `spread`, that also moves by `shift` sides."""
    offset = np.subtract.outer(np.arange(size), np.arange(size)) - shift * size
    weights = np.exp(-0.5 * (offset / (spread * size)) ** 2)
    weights[weights < 1e-12] = 0  # subnormal numbers would slow the products down tenfold
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _blurred(field: Array, matrix: Array) -> Array:
    """The field (size, size), blurred alike along both axes."""
    return matrix @ field @ matrix.T


def _relief(soft: Array, size: int, random: Generator) -> Array:
    """(size, size) factor that brightens edges facing the light and darkens the others."""
    angle = random.uniform(-2.6, -0.5)  # the light comes from above
    slope = np.asarray(np.gradient(soft, 1 / size))  # (2, size, size) downwards and to the right
    return 1 - 0.02 * (math.cos(angle) * slope[1] + math.sin(angle) * slope[0])


def _shadow(cover: Array, size: int, random: Generator) -> Array:
    """(size, size) in [0, 0.5]: shadow of the object, its blurred outline shifted downwards."""
    right, down, depth = random.uniform(-0.025, 0.025), random.uniform(0.015, 0.03), random.uniform(0.25, 0.5)
    return depth * (_blur_matrix(size, _SOFT, down) @ cover @ _blur_matrix(size, _SOFT, right).T)


def _light(surface: Surface) -> Array:
    """(size, size) linear gradient of brightness."""
    right, down = surface.random.uniform(-0.25, 0.25, 2).tolist()
    return 1 + right * (surface.x - 0.5) + down * (surface.y - 0.5)
