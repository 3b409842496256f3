"""Rendering of one image: an object of a given shape on a given background; all else is random.

An image is composed of draws that do not depend on each other: outline and material of the object, background, and light. So any
object is drawn on any background under any light by the same operations as the images of the data set.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from camdbench.datasets.shortcuts.shapes import Pose, coverage, draw_pose, place
from camdbench.datasets.shortcuts.textures import Array, Surface, paint

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
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


class Setting(NamedTuple):
    """Draws that give a shape its place, its relief and its shadow.

    Attributes:
        pose: rotation, size and place.
        relief: direction of the light on the relief, in radians; it comes from above.
        right: shift of the shadow to the right, relative to the side.
        down: shift of the shadow downwards.
        depth: darkness of the shadow.
    """

    pose: Pose
    relief: float
    right: float
    down: float
    depth: float


class Outline(NamedTuple):
    """What an image takes from the shape of its object, all (size, size).

    Attributes:
        cover: fraction of the pixel inside the object.
        relief: factor on the material.
        shadow: fraction of the background's light that is lost.
    """

    cover: Array
    relief: Array
    shadow: Array


class Background(NamedTuple):
    """The background of an image before its brightness meets the object's.

    Attributes:
        ground: (size, size, 3) colours.
        exposure: factor on them.
    """

    ground: Array
    exposure: float


class Scene(NamedTuple):
    """The draws that an image is composed of.

    Attributes:
        shape: name of the object's shape.
        setting: place, relief and shadow of any shape.
        outline: outline of `shape` in this setting.
        material: (size, size, 3) colours of the object's material, on all pixels.
        background: background.
        light: (size, size) linear gradient of brightness.
    """

    shape: str
    setting: Setting
    outline: Outline
    material: Array
    background: Background
    light: Array


def draw_scene(shape: str, background: str, *, size: int, random: Generator) -> Scene:
    """Draw everything that an image is composed of.

    The object is drawn first: the same random numbers give the same object on every background, and its colour and texture
    are independent of background and class.

    Args:
        shape: name of the object's shape.
        background: name of the background's texture.
        size: side in pixels.
        random: generator of place, size, rotation, colours and textures.
    """
    surface = Surface(size, random)
    pose, material = draw_pose(random), draw_material(surface)
    relief = random.uniform(-2.6, -0.5)
    right, down, depth = random.uniform(-0.025, 0.025), random.uniform(0.015, 0.03), random.uniform(0.25, 0.5)
    setting, light = Setting(pose, relief, right, down, depth), _light(surface)
    behind = Background(draw_ground(background, surface), random.uniform(0.7, 1.2))
    return Scene(shape, setting, draw_outline(shape, setting, size), material, behind, light)


def draw_outline(shape: str, setting: Setting, size: int) -> Outline:
    """The outline of a shape at the place, and with the relief and shadow, of a setting."""
    cover = coverage(place(shape, setting.pose), size)
    soft = _blurred(cover, blur_matrix(size, _SOFT))
    return Outline(cover, _relief(soft, size, setting.relief), _shadow(cover, size, setting))


def compose(outline: Outline, material: Array, background: Background, light: Array) -> Drawing:
    """The image of an object on a background under a light; each part may be of another scene."""
    ground = _contrasted(background, float((material @ LUMINANCE).mean()))
    thing, ground = material * outline.relief[..., None], ground * (1 - outline.shadow)[..., None]
    picture = (ground + (thing - ground) * outline.cover[..., None]) * light[..., None]
    return Drawing((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), outline.cover >= 0.5)


def render(shape: str, background: str, *, size: int, random: Generator) -> Drawing:
    """Render one image; arguments as of `draw_scene`."""
    scene = draw_scene(shape, background, size=size, random=random)
    return compose(scene.outline, scene.material, scene.background, scene.light)


def draw_material(surface: Surface) -> Array:
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


def draw_ground(kind: str, surface: Surface) -> Array:
    """(size, size, 3) background of random saturation and contrast, sometimes blurred."""
    random = surface.random
    ground = paint(kind, surface)
    grey = (ground @ LUMINANCE)[..., None]
    ground = grey + (ground - grey) * random.uniform(*_VIVID)
    mean = ground.mean((0, 1))
    ground = mean + (ground - mean) * random.uniform(*_CLEAR)
    focused, spread = random.uniform() < _FOCUSED, math.exp(random.uniform(*np.log(_BLUR)))
    if focused:
        return ground
    return np.stack([_blurred(ground[..., channel], blur_matrix(surface.size, spread)) for channel in range(3)], -1)


def _contrasted(background: Background, brightness: float) -> Array:
    """Scale the background until its mean luminance differs from the object's, `brightness`."""
    ground = background.ground * background.exposure
    own = float((ground @ LUMINANCE).mean())
    if abs(own - brightness) >= _CONTRAST:
        return ground
    darker, lighter = brightness - _CONTRAST, brightness + _CONTRAST
    goal = darker if darker > 0.12 and (own <= brightness or lighter > 0.85) else lighter
    return ground * (goal / own) if goal < own else 1 - (1 - ground) * ((1 - goal) / (1 - own))


def blur_matrix(size: int, spread: float, shift: float = 0.0) -> Array:
    """(size, size) weights of a Gaussian blur along one axis, of standard deviation `spread`, that also moves by `shift` sides."""
    offset = np.subtract.outer(np.arange(size), np.arange(size)) - shift * size
    weights = np.exp(-0.5 * (offset / (spread * size)) ** 2)
    weights[weights < 1e-12] = 0  # subnormal numbers would slow the products down tenfold
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _blurred(field: Array, matrix: Array) -> Array:
    """The field (size, size), blurred alike along both axes."""
    return matrix @ field @ matrix.T


def _relief(soft: Array, size: int, angle: float) -> Array:
    """(size, size) factor that brightens edges facing the light and darkens the others."""
    slope = np.asarray(np.gradient(soft, 1 / size))  # (2, size, size) downwards and to the right
    return 1 - 0.02 * (math.cos(angle) * slope[1] + math.sin(angle) * slope[0])


def _shadow(cover: Array, size: int, setting: Setting) -> Array:
    """(size, size) in [0, 0.5]: shadow of the object, its blurred outline shifted downwards."""
    return setting.depth * (blur_matrix(size, _SOFT, setting.down) @ cover @ blur_matrix(size, _SOFT, setting.right).T)


def _light(surface: Surface) -> Array:
    """(size, size) linear gradient of brightness."""
    right, down = surface.random.uniform(-0.25, 0.25, 2).tolist()
    return 1 + right * (surface.x - 0.5) + down * (surface.y - 0.5)
