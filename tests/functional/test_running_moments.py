"""Running mean and variance against the two-pass formula, also where E[g^2] - E[g]^2 would cancel."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.running_moments import RunningMoments


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_is_the_two_pass_formula(offset: float) -> None:
    values = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(0)).double() + offset
    moments = RunningMoments()
    for value in values:
        moments.add(value)
    torch.testing.assert_close(moments.mean, values.mean(0))
    for correction in (0, 1):
        torch.testing.assert_close(moments.variance(correction=correction), values.var(0, correction=correction), rtol=1e-6, atol=1e-12)


def test_of_equal_values_is_exactly_zero_in_float64() -> None:
    moments = RunningMoments()
    for _ in range(11):
        moments.add(torch.full((4,), 0.1))
    assert moments.variance(correction=1).tolist() == [0.0] * 4
    assert moments.mean.dtype == torch.float64
