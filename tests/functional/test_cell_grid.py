"""Grids of cells: against loops over pixels, and the distribution of random subsets."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.cell_grid import cell_sums, cells, random_subsets, subset_sizes


@pytest.mark.parametrize(("size", "count"), [((16, 12), 4), ((7, 5), 3), ((5, 5), 5), ((9, 4), 1)])
def test_sums_are_those_of_a_loop_over_pixels(size: tuple[int, int], count: int) -> None:
    maps = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    numbers, wanted = cells(size, count, maps.device), torch.zeros(2, count**2, dtype=torch.float64)
    for row in range(size[0]):
        for column in range(size[1]):
            assert numbers[row, column] == row * count // size[0] * count + column * count // size[1]
            wanted[:, numbers[row, column]] += maps[:, row, column].double()
    torch.testing.assert_close(cell_sums(maps, count), wanted)
    assert len(numbers.unique()) == count**2


def test_sizes_are_spaced_evenly_on_a_logarithmic_scale_up_to_80_per_cent() -> None:
    sizes = subset_sizes(10000, 5)
    assert sizes == (1, 9, 89, 846, 8000)
    assert subset_sizes(1, 5) == subset_sizes(100, 1) == (1,)


def test_every_cell_is_as_likely_as_any_other_and_every_subset_has_its_size() -> None:
    drawn = random_subsets(torch.Generator().manual_seed(0), 9, 3, 6000)
    assert (drawn.sum(1) == 3).all()
    torch.testing.assert_close(drawn.double().mean(0), torch.full((9,), 1 / 3).double(), rtol=0, atol=0.03)
    together = (drawn[:, 0] & drawn[:, 1]).double().mean()
    assert together == pytest.approx(3 * 2 / (9 * 8), abs=0.02)
    assert torch.equal(random_subsets(torch.Generator().manual_seed(0), 9, 9, 2), torch.ones(2, 9, dtype=torch.bool))
