"""Multigrid: its grids against dense matrices written down entry by entry, its cycle against the exact solution."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from camdbench.functional.multigrid import CoarseGrid, FineGrid, Multigrid, neighbour_sums

pytestmark = pytest.mark.usefixtures("float64")

MISSING = (torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(0)) > 0.4).double()
WEIGHTS = {1: 1 / 6, 2: 1 / 12}  # by the squared distance of the neighbour


def system(missing: Tensor) -> Tensor:
    """(P, P) of (H, W) unknown pixels as 0 and 1."""
    height, width = missing.shape
    found = torch.zeros(height * width, height * width)
    for y, x, dy, dx in itertools.product(range(height), range(width), (-1, 0, 1), (-1, 0, 1)):
        if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width:
            here, there = y * width + x, (y + dy) * width + x + dx
            weight = WEIGHTS[dy * dy + dx * dx] * missing[y, x]
            found[here, here] += weight
            found[here, there] -= weight * missing[y + dy, x + dx]
    return found


def interpolation(fade: Tensor) -> Tensor:
    """(P, Q): what the value 1 at one of every second pixels adds to all, bilinearly; `fade` is the grid's, doubled at even ends."""
    height, width = fade.shape
    rows, columns = -(-height // 2), -(-width // 2)
    found = torch.zeros(height, width, rows, columns)
    for y, x, row, column in itertools.product(range(height), range(width), range(rows), range(columns)):
        found[y, x, row, column] = max(0, 1 - abs(y / 2 - row)) * max(0, 1 - abs(x / 2 - column)) * fade[y, x]
    return found.reshape(height * width, rows * columns)


def dense(grid: FineGrid | CoarseGrid, index: int) -> Tensor:
    """(P, P) of one image, column by column, by the residual of one pixel after the other."""
    height, width = grid.inner.shape[-2:]
    columns = []
    for place in range(height * width):
        grid.inner.zero_()
        grid.inner[index, 0, place // width, place % width].fill_(1)
        columns.append(-grid.residual(torch.zeros_like(grid.rest))[index, 0].flatten())
    return torch.stack(columns, 1)


def test_the_system_is_that_of_the_paper_in_every_form() -> None:
    grid = FineGrid(MISSING, 1)
    values = torch.randn(2, 1, 9, 12, generator=torch.Generator().manual_seed(1)) * MISSING
    for index in range(2):
        expected = system(MISSING[index, 0])
        torch.testing.assert_close(dense(grid, index) * MISSING[index].flatten(), expected)  # values are 0 at known pixels
        product = (expected @ values[index].flatten()).view(9, 12)
        torch.testing.assert_close(grid.product(values)[index, 0], product)
        given = CoarseGrid(grid.coefficients(MISSING), 1)
        torch.testing.assert_close(dense(given, index), expected)


@pytest.mark.parametrize("size", [(9, 12), (12, 9), (1, 70), (70, 1)])
def test_a_coarser_system_is_the_projection_of_the_finer(size: tuple[int, int]) -> None:
    missing = (torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2)) > 0.3).double()
    fine, coarse = Multigrid.of(missing, 1).grids
    between = interpolation(fine.fade[0, 0])
    torch.testing.assert_close(dense(coarse, 0), between.T @ system(missing[0, 0]) @ between)


def test_the_interpolation_of_ones_is_the_mask_smoothed_once() -> None:
    fine = Multigrid.of(MISSING, 1).grids[0]
    smoothed = MISSING * neighbour_sums(MISSING) / neighbour_sums(torch.ones_like(MISSING))
    for index in range(2):
        torch.testing.assert_close(interpolation(fine.fade[index, 0]).sum(1).view(9, 12), smoothed[index, 0])


def test_a_constant_has_no_residual_even_in_float32() -> None:
    grids = Multigrid.of(MISSING.float(), 3)
    assert not grids.product(torch.full((2, 3, 9, 12), 0.3, dtype=torch.float32)).any()


@pytest.mark.parametrize("side", [17, 32])
def test_a_cycle_is_symmetric_and_shrinks_every_error(side: int) -> None:
    offsets = torch.arange(side) - side / 2
    hole = (offsets[:, None] ** 2 + offsets**2 < side**2 / 4.2).double()[None, None]
    pixels = hole.flatten().nonzero().squeeze(1)
    matrix = system(hole[0, 0])[pixels][:, pixels]
    units = torch.zeros(len(pixels), side * side)
    units[torch.arange(len(pixels)), pixels] = 1
    inverse = Multigrid.of(hole, len(pixels)).cycle(units.view(1, -1, side, side)).flatten(2)[0, :, pixels]
    torch.testing.assert_close(inverse, inverse.T)
    shares = torch.linalg.eigvals(inverse @ matrix).real  # of an error that a cycle removes
    assert 0.6 < shares.min() <= shares.max() < 1.0 + 1e-9


def test_images_that_stay_keep_their_grids() -> None:
    right = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(3)) * MISSING
    grids = Multigrid.of(MISSING, 3)
    expected = grids.cycle(right)[1].clone()
    assert torch.equal(grids.keep(torch.tensor([1])).cycle(right[1:])[0], expected)
