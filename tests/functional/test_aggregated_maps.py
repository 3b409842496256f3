"""Bins of a ranking, their mean maps, and the place of the explained cell."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.aggregated_maps import aggregate, bin_numbers, to_first_cell


def test_bins_follow_the_share_and_equal_shares_the_sum_inside() -> None:
    shares = torch.tensor([0.5] * 100)
    shares[7] = 0.9
    inside = torch.arange(100.0)
    found = bin_numbers(shares, inside)
    assert found.bincount().tolist() == [2, 3, 45, 45, 3, 2]
    ranked = [7, *(place for place in range(99, -1, -1) if place != 7)]
    assert [int(found[place]) for place in ranked] == [0] * 2 + [1] * 3 + [2] * 45 + [3] * 45 + [4] * 3 + [5] * 2


def test_few_maps_leave_bins_empty() -> None:
    assert bin_numbers(torch.tensor([0.1, 0.9]), torch.zeros(2)).tolist() == [5, 2]
    assert bin_numbers(torch.tensor([0.4]), torch.zeros(1)).tolist() == [5]


def test_means_shares_and_the_common_clip_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(60, 8, 8, generator=generator, dtype=torch.float64)
    shares, inside = torch.rand(60, generator=generator), torch.rand(60, generator=generator)
    numbers = bin_numbers(shares, inside)
    sums = torch.stack([maps[numbers == number].sum(0) for number in range(6)])
    found = aggregate(sums, numbers, shares, 2)
    means = [sum(maps[place] for place in range(60) if numbers[place] == number) / found.counts[number] for number in range(6)]
    for number, mean in enumerate(means):
        torch.testing.assert_close(found.means[number], mean)
        assert found.shares[number] == pytest.approx(float(shares[numbers == number].mean()), rel=1e-6)
    values = sorted(torch.stack(means).flatten().tolist())
    place = 0.995 * (len(values) - 1)
    low = int(place)
    assert found.top == pytest.approx(values[low] + (place - low) * (values[low + 1] - values[low]))
    assert list(found.shares) == sorted(found.shares, reverse=True)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_explained_cell_comes_to_the_top_left_and_nothing_is_lost(n: int) -> None:
    side = 4 * n
    for cell in range(n * n):
        row, column = divmod(cell, n)
        map_ = torch.rand(side, side, generator=torch.Generator().manual_seed(cell))
        map_[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 10
        found = to_first_cell(map_, cell, n)
        assert (found[:4, :4] > 10).all()
        assert int((found > 10).sum()) == 16
        assert torch.equal(found.flatten().sort().values, map_.flatten().sort().values)


def test_neighbours_of_a_cell_of_four_remain_neighbours() -> None:
    map_ = torch.arange(16).reshape(4, 4)
    assert to_first_cell(map_, 1, 2)[0].tolist() == [3, 2, 1, 0]
    assert to_first_cell(map_, 2, 2)[:, 0].tolist() == [12, 8, 4, 0]
    assert torch.equal(to_first_cell(map_, 0, 2), map_)
