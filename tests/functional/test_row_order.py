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


def test_extremes_come_last_and_first() -> None:
    values = torch.tensor([[torch.nan, 0.0, torch.inf, -1e-45, -torch.inf, -0.0, 3e38, -torch.nan]], requires_grad=True)
    ordered, places = ordered_rows(values)
    assert torch.equal(ordered[0, :6], torch.tensor([-torch.inf, -1e-45, 0, 0, 3e38, torch.inf]))
    assert ordered[0, 6:].isnan().all()
    assert places[0, [0, 1, 4, 5]].tolist() == [4, 3, 6, 2]


def test_pairs_come_by_the_first_number_and_then_by_the_second() -> None:
    generator = torch.Generator().manual_seed(1)
    high = torch.randint(-3, 4, (2, 300), generator=generator)
    low = torch.stack([torch.randperm(300, generator=generator) for _ in range(2)])
    high[0, :2], low[0, :2] = torch.tensor([-(2**31), 2**31 - 1]), torch.tensor([2**32 - 1, 2**32 - 2])
    expected = [[second for _, second in sorted(zip(*rows, strict=True))] for rows in zip(high.tolist(), low.tolist(), strict=True)]
    assert order_of_pairs(high, low).tolist() == expected
