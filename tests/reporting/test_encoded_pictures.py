"""Pictures of a page decode to what they encode, to the stated error."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from camdbench.reporting.encoded_pictures import colour_webp, grey_webp, mask_png


def decode(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255


def test_a_photograph_and_a_smooth_map_come_back():
    photograph = data.astronaut()[:224, :224] / 255
    assert np.abs(decode(colour_webp(photograph)) - photograph).mean() < 0.02
    y, x = np.mgrid[:224, :224] / 223
    saliency = np.exp(-8 * ((x - 0.3) ** 2 + (y - 0.6) ** 2))
    found = decode(grey_webp(saliency, 224))
    assert np.abs(found - found[..., :1]).max() < 3 / 255  # of a grey picture all channels are equal, but for rounding
    assert np.abs(found[..., 0] - saliency).mean() < 0.004


@pytest.mark.parametrize(("shape", "expected"), [((224, 224), (112, 112)), ((300, 150), (112, 56)), ((50, 20), (50, 20))])
def test_a_map_has_at_most_so_many_pixels(shape: tuple[int, int], expected: tuple[int, int]):
    assert decode(grey_webp(np.full(shape, 0.5), 112)).shape[:2] == expected


def test_values_that_are_not_finite_are_black():
    assert decode(grey_webp(np.full((8, 8), np.nan), 112)).max() == 0


def test_the_outline_is_on_the_mask_and_transparent_elsewhere():
    mask = np.zeros((96, 96), dtype=bool)
    mask[20:60, 30:70] = True
    alpha = np.asarray(Image.open(io.BytesIO(mask_png(mask))).convert("RGBA"))[..., 3] > 0
    inner = np.zeros_like(mask)
    inner[21:59, 31:69] = True
    assert np.array_equal(alpha, mask & ~inner)
