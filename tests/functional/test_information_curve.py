"""Performance information curves: points of equal information, running maximum, ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from camdbench.functional.information_curve import information_curve


def area(x: list[float], y: list[float]) -> float:
    """Area under the curve of these points."""
    return float(torch.trapezoid(information_curve(torch.tensor(x), torch.tensor(y)), dx=1 / 1000))


def test_areas_of_a_fast_rise_and_of_the_identity() -> None:
    assert area([0.2, 0.7], [1.0, 1.0]) == pytest.approx(0.9, abs=1e-6)
    assert area([0.25, 0.5], [0.25, 0.5]) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_points_with_equal_information_the_largest_counts_in_any_order(order: tuple[int, ...]) -> None:
    y = [[0.0, 0.4][place] for place in order]
    assert information_curve(torch.zeros(2), torch.tensor(y))[0].item() == pytest.approx(0.4)


def test_a_fall_does_not_count_and_points_are_read_linearly() -> None:
    x, y = [0.1, 0.3, 0.3, 0.25, 0.8], [0.2, 0.6, 0.1, 0.7, 0.3]
    found = information_curve(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    best = np.maximum.accumulate(y)
    points = sorted([(0.0, 0.0), (1.0, 1.0), *zip(x, best, strict=True)])
    unique = dict(points)  # the last of equal x is the largest
    expected = np.interp(np.linspace(0, 1, 1001), list(unique), list(unique.values()))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
