"""Order of rows: against Python's sort."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.row_order import order_of_pairs, ordered_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64], ids=str)
def test_values_come_in_ascending_order_with_their_places(dtype: torch.dtype) -> None:
    values = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)).mul(20).round().to(dtype)
    ordered, places = ordered_rows(values)
    assert ordered.tolist() == [sorted(row) for row in values.tolist()]
    assert torch.equal(values.gather(1, places), ordered)
    assert places.sort(1).values.tolist() == [list(range(500))] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zeros_infinities_and_the_smallest_numbers_are_in_order(dtype: torch.dtype) -> None:
    low, high = torch.finfo(dtype).smallest_normal / 2, torch.finfo(dtype).max
    expected = torch.tensor([[-torch.inf, -high, -low, -0.0, 0.0, low, high, torch.inf]], dtype=dtype)
    ordered, _ = ordered_rows(expected[:, [4, 7, 0, 2, 3, 1, 6, 5]].requires_grad_())
    assert torch.equal(ordered, expected)


def test_numbers_that_are_none_stand_at_the_ends() -> None:
    ordered, _ = ordered_rows(torch.tensor([[torch.nan, 1.0, -torch.nan, 0.0, torch.nan]]))
    known = ordered[0, ~ordered[0].isnan()]
    start = int(ordered[0].eq(0).nonzero())
    assert known.tolist() == [0, 1]
    assert ordered[0, start : start + 2].tolist() == [0, 1]


def test_pairs_come_by_the_first_number_and_then_by_the_second() -> None:
    generator = torch.Generator().manual_seed(1)
    high = torch.randint(-3, 4, (2, 300), generator=generator)
    low = torch.stack([torch.randperm(300, generator=generator) for _ in range(2)])
    high[0, :2], low[0, :2] = torch.tensor([-(2**31), 2**31 - 1]), torch.tensor([2**32 - 1, 2**32 - 2])
    expected = [[second for _, second in sorted(zip(*rows, strict=True))] for rows in zip(high.tolist(), low.tolist(), strict=True)]
    assert order_of_pairs(high, low).tolist() == expected
