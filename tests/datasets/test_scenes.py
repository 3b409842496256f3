"""Re-rendering: bit for bit the pictures of the data set, and any part from any picture."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from helpers.each import each
from scipy.ndimage import distance_transform_edt

from camdbench.datasets.shortcuts import drawing
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.datasets.shortcuts.scenes import Redrawing, scene_of
from camdbench.datasets.shortcuts.shapes import AREA, MARGIN, SHAPES, TILT, coverage
from camdbench.datasets.shortcuts.shapes import outline as corners_of
from camdbench.datasets.shortcuts.textures import TEXTURES, Surface


def data_of(split: str, size: int = 96, count: int = 32) -> Shortcuts:
    found = shortcuts(split=split, size=size, count=count)  # pyright: ignore[reportArgumentType]
    assert isinstance(found, Shortcuts)
    return found


def rendered_from_one_stream(data: Shortcuts, index: int) -> np.ndarray:
    """A literal reading of the order of draws: the image of an index, rendered without scenes."""
    split = ["train", "val", "shifted", "conflict", "balanced"].index(data.split)
    random, size = np.random.default_rng(np.random.SeedSequence([data.seed, split, 2, index])), data.size
    surface, blur = Surface(size, random), drawing.blur_matrix
    angle, scale = random.uniform(-TILT, TILT), random.uniform(*np.sqrt(AREA))
    points = corners_of(SHAPES[data.labels[index]]) @ np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32
    )
    low, high = points.min(0), points.max(0)
    scale = min(scale, (1 - 2 * MARGIN) / float((high - low).max()))
    corner = MARGIN + random.uniform(size=2) * (1 - 2 * MARGIN - scale * (high - low))
    cover = coverage(((points - low) * scale + corner).astype(np.float32), size)
    thing = drawing.draw_material(surface)
    soft = blur(size, 0.025) @ cover @ blur(size, 0.025).T
    angle, slope = random.uniform(-2.6, -0.5), np.asarray(np.gradient(soft, 1 / size))
    relief = 1 - 0.02 * (math.cos(angle) * slope[1] + math.sin(angle) * slope[0])
    right, down, depth = random.uniform(-0.025, 0.025), random.uniform(0.015, 0.03), random.uniform(0.25, 0.5)
    shadow = depth * (blur(size, 0.025, down) @ cover @ blur(size, 0.025, right).T)
    right, down = random.uniform(-0.25, 0.25, 2).tolist()
    light = 1 + right * (surface.x - 0.5) + down * (surface.y - 0.5)
    ground = drawing.draw_ground(TEXTURES[data.background(index)], surface)
    brightness, ground = float((thing @ drawing.LUMINANCE).mean()), ground * random.uniform(0.7, 1.2)
    own = float((ground @ drawing.LUMINANCE).mean())
    if abs(own - brightness) < 0.25:
        darker, lighter = brightness - 0.25, brightness + 0.25
        goal = darker if darker > 0.12 and (own <= brightness or lighter > 0.85) else lighter
        ground = ground * (goal / own) if goal < own else 1 - (1 - ground) * ((1 - goal) / (1 - own))
    ground = ground * (1 - shadow)[..., None]
    picture = (ground + (thing * relief[..., None] - ground) * cover[..., None]) * light[..., None]
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


@each("size", [32, 96, 224])
@each("split", ["train", "val", "shifted", "conflict", "balanced"])
def test_a_scene_is_its_picture_bit_for_bit(split: str, size: int) -> None:
    data = data_of(split, size)
    for index in range(32 if size < 224 else 8):
        literal, scene = rendered_from_one_stream(data, index), data.scene(index)
        assert np.array_equal(Redrawing(scene).picture((), scene, scene), literal)
        assert np.array_equal(data.picture(index).image, literal)


def test_a_scene_of_the_same_draws_is_the_picture_on_its_background() -> None:
    """Object of one draw, background of another: the object's pixels are the first's, the rest the second's up to shadow and exposure."""
    data = data_of("shifted", count=12)
    for i, j in itertools.permutations(range(3), 2):
        first, second = data.scene(i), data.scene(j)
        mixed = Redrawing(first).picture(("background",), second, second)
        inside = distance_transform_edt(first.outline.cover >= 0.5) > 1.5
        assert np.array_equal(mixed[inside], data.picture(i).image[inside])
        assert (mixed != data.picture(i).image)[~inside].mean() > 0.5
        swapped = Redrawing(second).picture(("object",), first, first)
        same_light = Redrawing(first._replace(light=second.light)).picture(("background",), second, second)
        assert np.array_equal(swapped, same_light)  # the object of i on the background of j, in both orders


def test_another_shape_takes_the_place_and_another_material_the_outline() -> None:
    data = data_of("shifted", count=40)
    first = data.scene(0)
    other = next(data.scene(index) for index in range(1, 40) if data.labels[index] != data.labels[0])
    own = Redrawing(first)
    shaped, coloured = own.picture(("shape",), other, first), own.picture(("material",), other, first)
    both = own.picture(("shape", "material"), other, first)
    placed = drawing.draw_outline(other.shape, first.setting, 96)
    cover = placed.cover
    for seen, outline, material in ((shaped, placed, first), (coloured, first.outline, other), (both, placed, other)):
        inside = distance_transform_edt(outline.cover >= 0.5) > 1.5
        lit = material.material * outline.relief[..., None] * first.light[..., None]
        assert np.array_equal(seen[inside], (np.clip(lit[inside], 0, 1) * 255 + 0.5).astype(np.uint8))
    rows, columns = (np.flatnonzero((cover >= 0.5).any(axis)).mean() for axis in (1, 0))
    box = data[0].boxes
    assert box is not None
    assert abs(columns - float(box[0, 0] + box[0, 2] - 1) / 2) < 24
    assert abs(rows - float(box[0, 1] + box[0, 3] - 1) / 2) < 24


def test_scenes_in_memory_are_those_of_their_data_set() -> None:
    small, large = data_of("val", 32), data_of("val", 64)
    for data in (small, large, small):
        kept = scene_of(data, 3)
        assert kept.light.shape == (data.size, data.size)
        assert np.array_equal(kept.material, data.scene(3).material)
    assert scene_of(small, 3) is scene_of(small, 3)
    with pytest.raises(IndexError, match="0 to 31"):
        scene_of(small, 32)
