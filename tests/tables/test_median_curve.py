"""Area under the median curve: against a median of copied images."""

from __future__ import annotations

import numpy as np

from camdbench.tables.median_curve import median_curve_area


def test_weights_are_copies_of_images() -> None:
    rng = np.random.default_rng(0)
    x, y, weights = np.linspace(0, 1, 6), rng.random((9, 6)).round(1), rng.integers(0, 4, (20, 9))
    y[3, 2] = np.nan
    found = median_curve_area(np.ones(9), y, x)(weights)
    for row, area in zip(weights, found, strict=True):
        copies = np.repeat(np.delete(y, 3, 0), np.delete(row, 3), axis=0)
        np.testing.assert_allclose(area, np.trapezoid(np.median(copies, axis=0), x))


def test_it_is_not_the_mean_of_the_areas_and_nothing_has_none() -> None:
    x, y = np.array([0.0, 1.0]), np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert median_curve_area(np.ones(3), y, x)(np.array([[1, 1, 1], [0, 0, 0]])).tolist()[0] == 0
    assert np.isnan(median_curve_area(np.ones(3), np.full((3, 2), np.nan), x)(np.ones((1, 3)))).all()
