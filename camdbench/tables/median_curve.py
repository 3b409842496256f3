"""Area under the median curve of images, under weights of the images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def median_curve_area(values: np.ndarray, y: np.ndarray, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from weights (r, M), how often each image was drawn, to areas (r,) under the median curve, by trapezoids.

    The median is taken over images at each place, the mean of the two middle ones of an even number. NaN where no image was drawn.

    >>> x, y = np.array([0.0, 1.0]), np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> median_curve_area(np.zeros(3), y, x)(np.array([[1, 1, 1], [0, 1, 1], [0, 0, 2]])).tolist()
    [0.5, 0.75, 1.0]

    Args:
        values: (M,) value of each image; an image without one is omitted.
        y: (M, K) curves; an image with a gap is omitted.
        x: (K,) places, ascending.
    """
    present = np.isfinite(y).all(1) & np.isfinite(values)
    curves = y[present]
    order = np.argsort(curves, axis=0, kind="stable")
    ordered = np.take_along_axis(curves, order, axis=0)

    def of(weights: np.ndarray) -> np.ndarray:
        drawn = weights[:, present]
        totals = drawn.sum(1)
        median = np.full((len(drawn), len(x)), np.nan)
        for place in range(len(x)) if len(curves) else ():
            seen = drawn[:, order[:, place]].cumsum(1)
            low = (2 * seen >= totals[:, None]).argmax(1)
            high = (2 * seen > totals[:, None]).argmax(1)
            median[:, place] = (ordered[low, place] + ordered[high, place]) / 2
        return np.where(totals > 0, np.trapezoid(median, x, axis=1), np.nan)

    return of
