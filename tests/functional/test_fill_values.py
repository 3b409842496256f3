"""Baselines: RISE's kernel by its golden values, its blur by scipy, Quantus' black by Quantus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from torchvision.transforms.functional import gaussian_blur

from camdbench.functional.fill_values import lowest, rise_blur, rise_kernel

MEAN = torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.2, 0.25, 0.3]).reshape(1, 3, 1, 1)


def test_the_kernel_has_the_values_of_rises_own() -> None:
    kernel = rise_kernel()
    assert kernel.shape == (11, 11)
    assert kernel.min().item() == pytest.approx(0.0077366, abs=5e-8)
    assert kernel.max().item() == pytest.approx(0.0088326, abs=5e-8)
    assert kernel.sum().item() == pytest.approx(1)


def test_the_blur_is_the_kernel_over_the_normalised_image_with_zeros_around_it() -> None:
    images = torch.rand(2, 3, 16, 13, generator=torch.Generator().manual_seed(0))
    normalised = ((images - MEAN) / STD).numpy().astype(np.float64)
    expected = np.stack([[convolve(channel, rise_kernel().numpy(), mode="constant") for channel in image] for image in normalised])
    found = (rise_blur(images, MEAN) - MEAN) / STD
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_the_blur_is_not_torchvisions() -> None:
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    assert (rise_blur(images, MEAN)[inner] - gaussian_blur(images, [11, 11], [5.0, 5.0])[inner]).abs().max() > 1e-3


def test_a_picture_of_the_ground_stays_as_it_is() -> None:
    images = MEAN.expand(1, 3, 16, 16)
    torch.testing.assert_close(rise_blur(images, MEAN), images)


@pytest.mark.filterwarnings("ignore")  # of quantus' own source, when it is first compiled
def test_the_lowest_value_is_quantus_black() -> None:
    from quantus.helpers.utils import get_baseline_value

    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    normalised = ((images - MEAN) / STD).numpy()
    for image, value in zip(normalised, (lowest(images, MEAN, STD) - MEAN) / STD, strict=True):
        expected = get_baseline_value(value="black", arr=image, return_shape=(3,))
        assert value.flatten().tolist() == pytest.approx(list(expected), abs=1e-6)
