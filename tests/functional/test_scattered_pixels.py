"""Interpolation between scattered pixels: against scipy's griddata, a plane, and ROAD's solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import griddata

from camdbench.functional.imputation import impute
from camdbench.functional.scattered_pixels import eight_bits, recovered, webp_bytes


def masks(count: int, share: float) -> torch.Tensor:
    """Random pixels and the corners, (N, 9, 7)."""
    known = torch.rand(count, 9, 7, generator=torch.Generator().manual_seed(1)) < share
    known[:, ::8, ::6] = True
    return known


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_linear_values_are_those_of_griddata_channel_by_channel(share: float) -> None:
    images, known = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)), masks(2, share)
    found = recovered(images, known, "linear")
    for index, mask in enumerate(known.numpy()):
        for channel in range(3):
            image = np.rint(255 * images[index, channel].double().numpy())
            between = griddata(np.argwhere(mask), image[mask], np.argwhere(np.ones_like(mask)), method="linear").reshape(9, 7)
            expected = np.rint(np.where(mask, image, between).round(6)) / 255
            np.testing.assert_allclose(found[index, channel].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "neighbours"])
def test_a_constant_image_is_recovered_from_its_corners(interpolation: str) -> None:
    images = torch.full((1, 3, 9, 7), 51 / 255)
    torch.testing.assert_close(recovered(images, masks(1, 0.0), interpolation), images)  # type: ignore[arg-type]


def test_a_plane_is_recovered_from_its_corners() -> None:
    plane = (torch.arange(9)[:, None] * 8 + torch.arange(7) * 4).expand(1, 3, 9, 7) / 255
    torch.testing.assert_close(recovered(plane, masks(1, 0.0), "linear"), plane)


def test_neighbours_are_road_s_and_known_pixels_stay() -> None:
    images, known = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)), masks(2, 0.3)
    found = recovered(images, known, "neighbours")
    torch.testing.assert_close(found, eight_bits(impute(images, known)), atol=1.01 / 255, rtol=0)
    assert torch.equal(found.permute(0, 2, 3, 1)[known], eight_bits(images).permute(0, 2, 3, 1)[known])


def test_a_flat_image_is_a_file_of_40_bytes_and_noise_one_as_large_as_its_pixels() -> None:
    assert webp_bytes(torch.zeros(3, 64, 64)) == 40
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64))) / 255
    assert webp_bytes(noise) == pytest.approx(12416, rel=0.001)
