"""Conversions of floating-point types."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each

from camdbench.functional.float_precision import to_at_least_float32, to_float64


@each("dtype", [torch.bool, torch.int64, torch.bfloat16, torch.float32, torch.float64])
def test_float64_keeps_values(dtype: torch.dtype) -> None:
    tensor = torch.tensor([0, 1, 1]).to(dtype)
    found = to_float64(tensor)
    assert found.dtype == torch.float64
    assert found.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.float16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.float16, torch.float64),
    ],
)
def test_the_common_type_is_at_least_float32(first: torch.dtype, second: torch.dtype, common: torch.dtype) -> None:
    a, b = to_at_least_float32(torch.ones(2, dtype=first), torch.zeros(2, dtype=second))
    assert (a.dtype, b.dtype) == (common, common)
    assert (a.tolist(), b.tolist()) == ([1.0, 1.0], [0.0, 0.0])
