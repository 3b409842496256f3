"""Maps placed back on the pixels of a file: by a dot that went through the real preprocessing, and by SciPy's and torch's interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.each import each
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import map_coordinates
from torch.nn.functional import interpolate

from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.functional.file_boxes import Placement
from camdbench.functional.map_placement import covered, place_map

HOWS = (
    "resize256_crop224",
    "resize224_distort",
    "fit(short=80, crop=64, resample=bicubic)",
    "fit(size=70, crop=50)",
    "fit(short=40, crop=64)",
)
RNG = np.random.default_rng(0)


@each("size", [(150, 231), (231, 150), (30, 47), (64, 64)])
@each("how", HOWS)
def test_a_dot_returns_to_its_place(how: str, size: tuple[int, int]) -> None:
    height, width = size
    transform = SpatialTransform(how, 56)
    placement = transform.placement(size)
    side = transform.geometry.input_size or 0
    rows, columns = covered(placement, (side, side))
    for y, x in ((0.2, 0.7), (0.5, 0.5), (0.75, 0.25)):
        dot = rows.start + y * (rows.stop - rows.start), columns.start + x * (columns.stop - columns.start)
        down, right = np.mgrid[:height, :width]
        bright = np.exp(-((down - dot[0]) ** 2 + (right - dot[1]) ** 2) / (2 * (height / 10) ** 2))
        picture = Image.fromarray(np.rint(255 * bright).astype(np.uint8)).convert("RGB")
        placed = place_map(transform.fit(picture, Annotations()).image[0].numpy(), placement)
        inside = np.zeros(size, dtype=bool)
        inside[rows, columns] = True
        assert not placed[~inside].any()
        assert np.abs(placed - bright)[inside].mean() < 0.02
        weights = np.where(placed > 0.9 * placed.max(), placed, 0)
        centre = (weights * down).sum() / weights.sum(), (weights * right).sum() / weights.sum()
        assert np.hypot(centre[0] - dot[0], centre[1] - dot[1]) < max(1.0, 0.01 * max(size))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(-8, 12), st.integers(1, 20))
def test_covered_pixels_are_those_whose_centres_lie_in_the_crop(pixels: int, resized: int, length: int, first: int, other: int) -> None:
    rows, columns = covered(Placement((pixels, other), (resized, other), (first, 0)), (length, other))
    own = [index for index in range(pixels) if first <= (index + 0.5) * resized / pixels < first + length]
    assert columns == slice(0, other)
    if own:
        assert (rows.start, rows.stop) == (own[0], own[-1] + 1)
    else:
        assert rows.stop == rows.start + 1
        assert 0 <= rows.start < pixels


def test_a_map_is_enlarged_as_by_bilinear_interpolation_at_pixel_centres() -> None:
    placement = Placement((90, 61), (40, 30), (6, 3))
    saliency = RNG.random((28, 24)).astype(np.float32)
    rows, columns = covered(placement, (28, 24))
    y = (np.arange(rows.start, rows.stop) + 0.5) * 40 / 90 - 6 - 0.5
    x = (np.arange(columns.start, columns.stop) + 0.5) * 30 / 61 - 3 - 0.5
    exact = map_coordinates(saliency.astype(float), np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(place_map(saliency, placement)[rows, columns], exact, atol=1e-5)


def test_a_map_is_reduced_with_antialiasing() -> None:
    saliency = RNG.random((32, 48)).astype(np.float32)
    exact = interpolate(torch.from_numpy(saliency)[None, None], (8, 16), mode="bilinear", antialias=True)[0, 0].numpy()
    found = place_map(saliency, Placement((8, 16), (32, 48)))
    np.testing.assert_allclose(found[1:-1, 1:-1], exact[1:-1, 1:-1], atol=1e-5)  # at the edge, pixels outside count as the nearest
    np.testing.assert_allclose(found, exact, atol=0.2)


@pytest.mark.parametrize("file", [(1, 1), (1000, 1), (1, 1000), (3, 200)])
def test_a_narrow_picture_has_a_place_for_its_map(file: tuple[int, int]) -> None:
    placement = SpatialTransform("resize256_crop224", 28).placement(file)
    placed = place_map(np.full((28, 28), 0.5, dtype=np.float32), placement)
    assert placed.shape == file
    assert set(np.unique(placed)) <= {np.float32(0), np.float32(0.5)}
    assert placed.any()
