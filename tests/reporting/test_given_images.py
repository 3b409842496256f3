"""Images to explain: overlays of whole pictures, whose pixels outside the crop are those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.each import each
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import read_picture
from camdbench.datasets.transforms import SpatialTransform
from camdbench.reporting.given_images import read_images

SIDE = 56
HOWS = ("resize256_crop224", "resize224_distort", "fit(short=80, crop=56, resample=bicubic)")
TURNED = {1: (120, 200), 3: (120, 200), 6: (200, 120), 8: (200, 120)}  # stored size by EXIF orientation; upright: 120 x 200


def write(path: Path, size: tuple[int, int], orientation: int = 1) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@each("how", HOWS)
@each("orientation", TURNED)
def test_a_hot_cell_lands_on_its_pixels_of_the_upright_picture(orientation: int, how: str, tmp_path: Path) -> None:
    file = write(tmp_path / "cat.png", TURNED[orientation], orientation)
    transform = SpatialTransform(how, SIDE)
    [image], damaged = read_images([str(file)], transform, 1000)
    assert not damaged
    upright = np.asarray(read_picture(file))
    assert upright.shape == (120, 200, 3)
    np.testing.assert_array_equal(image.pixels(), upright)
    (tall, wide), (top, left) = transform.placement((120, 200)).resized, transform.placement((120, 200)).corner
    rows, columns = image.crop
    outside = np.ones((120, 200), dtype=bool)
    outside[rows, columns] = False
    assert outside.any() == (how != "resize224_distort")
    for row, column in ((14, 40), (30, 9)):
        saliency = np.zeros((SIDE, SIDE), dtype=np.float32)
        saliency[row, column] = 1
        drawn = image.draw(image.pixels(), saliency, "viridis")
        np.testing.assert_array_equal(drawn[outside], upright[outside])
        changed = (drawn != image.frame(upright)).any(axis=2)
        y, x = np.nonzero(changed)
        assert y.mean() == pytest.approx((row + 0.5 + top) * 120 / tall - 0.5, abs=1)
        assert x.mean() == pytest.approx((column + 0.5 + left) * 200 / wide - 0.5, abs=1)
        assert np.ptp(y) <= 2 * 120 / tall + 1
        assert np.ptp(x) <= 2 * 200 / wide + 1


def test_the_frame_runs_along_inner_edges_of_the_crop_alone(tmp_path: Path) -> None:
    [image], _ = read_images([str(write(tmp_path / "cat.png", (60, 100)))], SpatialTransform("fit(short=60, crop=60)", SIDE), 1000)
    assert image.crop == (slice(0, 60), slice(20, 80))
    found, plain = image.frame(image.pixels()), image.pixels()
    white, black = found[:, [20, 79]], found[:, [21, 78]]
    assert (white == 255).all()
    assert (black == 0).all()
    rest = np.delete(np.arange(100), [20, 21, 78, 79])
    np.testing.assert_array_equal(found[:, rest], plain[:, rest])


def test_a_large_picture_is_reduced_and_a_map_that_is_not_finite_left_out(tmp_path: Path) -> None:
    names = [str(write(tmp_path / "cat.png", (80, 120))), str(tmp_path / "bad.png")]
    Path(names[1]).write_bytes(b"no picture")
    [image], damaged = read_images([*names, names[0]], SpatialTransform("resize256_crop224", SIDE), 60)
    assert list(damaged) == names[1:]
    assert image.size == (80, 120)
    assert image.pixels().shape == (40, 60, 3)
    drawn = image.draw(image.pixels(), np.full((SIDE, SIDE), np.nan, dtype=np.float32), "viridis")
    np.testing.assert_array_equal(drawn, image.frame(image.pixels()))
    with pytest.raises(UsageError, match=r"image dog: no such file; .*chelsea"):
        read_images(["dog"], SpatialTransform("resize256_crop224", SIDE), 60)
