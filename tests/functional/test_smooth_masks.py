"""Smooth masks and blurred images, by a literal reading of their definitions."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from camdbench.functional.smooth_masks import area_error, blur, blur_by_mask, enlarge, enlarge_with_margin, pyramid


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_blur_is_the_mean_under_a_gaussian_of_the_pixels_that_there_are() -> None:
    image = random(1, 7, 5)
    found = blur(image, 1.7)
    for row, column in ((0, 0), (3, 2), (6, 4)):
        weights = torch.zeros(7, 5, dtype=torch.float64)
        for y, x in itertools.product(range(7), range(5)):
            weights[y, x] = math.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.7**2))
        torch.testing.assert_close(found[0, row, column], (weights * image[0]).sum() / weights.sum(), rtol=1e-6, atol=0)
    assert torch.equal(blur(image, 0), image)
    torch.testing.assert_close(blur(torch.ones(1, 7, 5), 30), torch.ones(1, 7, 5))


def test_a_pyramid_goes_from_blurred_to_sharp_and_a_mask_picks_its_level() -> None:
    images = random(2, 3, 6, 5)
    levels = pyramid(images, 7.0)
    assert levels.shape == (2, 8, 3, 6, 5)
    torch.testing.assert_close(levels[:, 3], blur(images, 4.0))
    mask = torch.zeros(2, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(blur_by_mask(levels, mask), blur(images, 7.0))
    torch.testing.assert_close(blur_by_mask(levels, mask + 1), images)
    torch.testing.assert_close(blur_by_mask(levels, mask + 2.25 / 7), 0.75 * levels[:, 2] + 0.25 * levels[:, 3])
    mask[0, 1, 2] = torch.nan
    found = blur_by_mask(levels, mask).isnan()
    assert found[0, :, 1, 2].all()
    assert found.sum() == 3


@pytest.mark.parametrize("flat_top", [False, True])
def test_the_derivative_by_a_mask_is_that_of_its_levels_also_where_the_mask_is_at_one(flat_top: bool) -> None:
    levels = pyramid(random(1, 3, 2, 4), 7.0)
    mask = torch.tensor([[[0, 1 / 14, 1 / 7, 3 / 7], [0.5, 6 / 7, 0.99, 1]]], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(blur_by_mask(levels, mask, flat_top=flat_top).sum(), mask)
    for pixel, lower in zip(itertools.product(range(2), range(4)), (0, 0, 1, 3, 3, 6, 6, 6), strict=True):
        slope = 7 * (levels[0, lower + 1] - levels[0, lower])[(slice(None), *pixel)].sum()
        torch.testing.assert_close(found[(0, *pixel)], torch.zeros_like(slope) if flat_top and pixel == (1, 3) else slope)


@pytest.mark.parametrize(("step", "sigma"), [(2, 3.0), (3, 2.0), (1, 1.5)])
def test_an_enlarged_grid_is_the_smooth_maximum_over_its_nodes(step: int, sigma: float) -> None:
    height, width = 7, 5
    grid = random(1, -(-height // step), -(-width // step))
    found = enlarge(grid, (height, width), step, sigma)[0]
    rows, columns = grid.shape[1:]
    radius = math.ceil(2.3585 * sigma / step)
    for y in range(height):
        for x in range(width):
            values = []
            for row in range(y // step - radius, y // step + radius + 1):
                for column in range(x // step - radius, x // step + radius + 1):
                    apart = math.hypot(y - row * step - (step - 1) / 2, x - column * step - (step - 1) / 2)
                    node = grid[0, min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)].item()
                    values.append(node * math.exp(-2 * max(0, apart / sigma - 0.5) ** 2))
            expected = sum(value * math.exp(20 * value) for value in values) / sum(math.exp(20 * value) for value in values)
            assert found[y, x].item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_of_an_enlarged_grid_is_that_of_its_formula() -> None:
    grids = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda grid: enlarge(grid, (6, 7), 2, 2.5), (grids,))
    (one_by_one,) = torch.autograd.grad((enlarge(grids, (6, 7), 2, 2.5) * weights)[:1].sum(), grids)
    assert bool((one_by_one[0] != 0).all())
    assert torch.equal(one_by_one[1], torch.zeros(3, 4, dtype=torch.float64))


def test_a_grid_of_ones_is_flat_up_to_its_edges() -> None:
    found = enlarge(torch.ones(1, 4, 5), (14, 19), 4, 5.0)[0]
    assert found[::4, ::4].max() - found[::4, ::4].min() < 1e-6
    assert found.min() > 0.97


def test_areas_are_measured_by_sorting() -> None:
    masks = torch.tensor([[[0.0, 1.0], [0.2, 0.9]], [[1.0, 1.0], [1.0, 1.0]]])
    found = area_error(masks, torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(found, torch.tensor([(0.2**2 + 0.1**2) / 4, 0.75**2]))


def test_equal_values_are_moved_alike() -> None:
    masks = torch.tensor([[[0.5, 0.5], [0.5, 0.9]]], requires_grad=True)
    gradient = torch.autograd.grad(area_error(masks, torch.tensor([0.5])).sum(), masks)[0]
    shared = 2 / 4 * (0.5 - 1 / 3)  # three values share one place among the two ones
    torch.testing.assert_close(gradient, torch.tensor([[[shared, shared], [shared, 2 / 4 * (0.9 - 1)]]]))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "step", "sigma", "sides"), [((224, 224), 7, 21.0, (260, 260)), ((13, 10), 2, 3.0, (17, 13))])
def test_masks_with_a_margin_are_those_of_torchray(size: tuple[int, int], step: int, sigma: float, sides: tuple[int, int]) -> None:
    grid = torch.rand([math.ceil(side / step) for side in size], generator=torch.Generator().manual_seed(0))
    found = enlarge_with_margin(grid[None], step, sigma)[0]
    assert found.shape == sides
    radius, padding = 1 + math.ceil(sigma / step), 1 + math.ceil(2 * sigma / step)
    for row, column in [(0, 0), (3, sides[1] - 1), (sides[0] // 2, sides[1] // 2), (sides[0] - 1, 5), (7, 8)]:
        seen = []
        for y in range(row // step - padding, row // step - padding + 2 * radius + 1):
            for x in range(column // step - padding, column // step - padding + 2 * radius + 1):
                inside = 0 <= y < grid.shape[0] and 0 <= x < grid.shape[1]
                distance = math.hypot(row - sigma - step * y, column - sigma - step * x) / sigma
                seen.append(math.exp(-2 * max(0, distance - 0.5) ** 2) * float(grid[y, x]) if inside else 0.0)
        weights = [math.exp(20 * value) for value in seen]
        assert found[row, column].item() == pytest.approx(sum(w * v for w, v in zip(weights, seen, strict=True)) / sum(weights))


def test_a_blur_surrounded_by_zeros_is_a_convolution_of_four_sigma() -> None:
    images = torch.rand(2, 3, 20, 9, generator=torch.Generator().manual_seed(0))
    kernel = torch.exp(-(torch.arange(-6.0, 7) ** 2) / (2 * 1.4**2))
    kernel = kernel / kernel.sum()
    expected = F.conv2d(images, kernel.reshape(1, 1, -1, 1).expand(3, 1, -1, 1), padding=(6, 0), groups=3)
    expected = F.conv2d(expected, kernel.reshape(1, 1, 1, -1).expand(3, 1, 1, -1), padding=(0, 6), groups=3)
    torch.testing.assert_close(blur(images, 1.4, zero_padding=True), expected)
