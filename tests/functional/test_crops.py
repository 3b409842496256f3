"""Crops as torchvision draws and stretches them."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import hflip, resized_crop

from camdbench.functional.crops import Crop, draw_crop, warp

CROPS = [Crop(0, 0, 12, 17, False), Crop(3, 2, 5, 11, True), Crop(11, 16, 1, 1, False), Crop(1, 0, 11, 2, True)]


def test_cropping_stretching_and_flipping_are_torchvisions() -> None:
    images = torch.rand(len(CROPS), 3, 12, 17, generator=torch.Generator().manual_seed(0))
    found = warp(images, CROPS)
    for image, crop, mine in zip(images, CROPS, found, strict=True):
        theirs = resized_crop(image, crop.top, crop.left, crop.height, crop.width, [12, 17], antialias=False)
        torch.testing.assert_close(mine, hflip(theirs) if crop.flipped else theirs, atol=1e-6, rtol=1e-5)


def test_maps_are_warped_like_images() -> None:
    maps = torch.rand(len(CROPS), 12, 17, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(warp(maps, CROPS), warp(maps.unsqueeze(1), CROPS).squeeze(1))


def test_the_whole_image_stays_as_it_is() -> None:
    images = torch.rand(1, 3, 9, 8)
    torch.testing.assert_close(warp(images, [Crop(0, 0, 9, 8, False)]), images)


@pytest.mark.parametrize("size", [(60, 90), (90, 60)])
def test_draws_have_torchvisions_distribution(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(3)
    mine = [draw_crop(size, generator) for _ in range(2000)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        image = torch.empty(3, *size)
        theirs = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)]
    for part in range(4):
        assert kstest([crop[part] for crop in mine], [crop[part] for crop in theirs]).pvalue > 0.01
    assert 0.45 < sum(crop.flipped for crop in mine) / 2000 < 0.55


def test_a_crop_stays_inside_the_image() -> None:
    generator = torch.Generator().manual_seed(0)
    for size in ((1, 1), (2, 40), (40, 2), (7, 7)):
        for _ in range(50):
            crop = draw_crop(size, generator)
            assert crop.top >= 0
            assert crop.left >= 0
            assert 0 < crop.height <= size[0] - crop.top
            assert 0 < crop.width <= size[1] - crop.left


@pytest.mark.parametrize("size", [(10, 100), (100, 10)])
def test_where_no_attempt_fits_the_crop_is_central(size: tuple[int, int]) -> None:
    crop = draw_crop(size, torch.Generator().manual_seed(0), scale=(5.0, 6.0))
    with torch.random.fork_rng(devices=[]):
        assert tuple(crop)[:4] == RandomResizedCrop.get_params(torch.empty(3, *size), [5.0, 6.0], [3 / 4, 4 / 3])


def test_draws_come_from_their_generator_alone() -> None:
    first, again, other = (draw_crop((30, 30), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first == again != other
