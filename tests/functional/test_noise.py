"""Noise on a part of images, written out, and by its statistics."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.noise import add_noise


@pytest.fixture
def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images, noise = torch.rand(3, 3, 8, 6, generator=generator), torch.randn(3, 3, 8, 6, generator=generator)
    return images, torch.rand(3, 8, 6, generator=generator) > 0.5, noise


def test_gaussian_noise_pixel_by_pixel(given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    images, places, noise = given
    found = add_noise(images, places, noise, 0.25)
    for index in ((0, 0, 1, 2), (1, 2, 7, 5), (2, 1, 3, 0), (0, 2, 0, 0), (1, 0, 4, 4)):
        image, _, row, column = index
        there = images[index] + 0.25 * noise[index] if places[image, row, column] else images[index]
        assert found[index].item() == pytest.approx(min(max(there.item(), 0), 1))
    assert found.min() == 0, "nothing was clamped"
    assert torch.equal(add_noise(images, places, noise, 0), images)


def test_l2_noise_has_the_given_norm_where_nothing_is_clamped(given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    _, places, noise = given
    images = torch.full((3, 3, 8, 6), 0.5)
    added = add_noise(images, places, noise, 0.7, "l2") - images
    torch.testing.assert_close(added.flatten(1).norm(dim=1), torch.full((3,), 0.7))
    assert not added[~places[:, None].expand_as(added)].any()
    ratio = added[0, :, places[0]] / noise[0, :, places[0]]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-3, atol=1e-6)


def test_noise_without_a_place_changes_nothing(given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    images, places, noise = given
    for kind in ("gaussian", "l2"):
        assert torch.equal(add_noise(images, torch.zeros_like(places), noise, 30.0, kind), images)
