"""Bootstrap intervals of table values, resampling images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np

from camdbench.tables.aggregates import CellData, aggregate

Method = Literal["percentile", "bca"]
RESAMPLES = 10_000
_BATCH_VALUES = 4_000_000  # values per batch, which bounds the memory to about 100 MB


def mean_intervals(values: np.ndarray, *, method: Method = "percentile", confidence: float = 0.95, seed: int = 0) -> np.ndarray:
    """Bootstrap intervals of the mean of each row, resampling images.

    Rows with values on the same images share their resamples, so equal rows have equal intervals. A constant row has its value as
    both ends; a row with fewer than two values has NaN.

    >>> mean_intervals(np.array([[3.0, 3.0, 3.0], [7.0, np.nan, np.nan]]))
    array([[ 3.,  3.],
           [nan, nan]])

    Args:
        values: (N, M), NaN if an image has no value.
        method: `percentile`, or `bca`, bias-corrected and accelerated (Efron 1987).
        confidence: confidence level, in (0, 1).
        seed: seed of the resamples.

    Returns:
        (N, 2), lower and upper end.
    """
    ends = np.full((len(values), 2), np.nan)
    present = ~np.isnan(values)
    for mask in np.unique(present, axis=0):
        if mask.sum() < 2:
            continue
        own = np.flatnonzero((present == mask).all(1))
        kept = values[np.ix_(own, mask)]  # (own, n)
        constant = kept.min(1) == kept.max(1)
        ends[own[constant]] = kept[constant, :1]
        if not constant.all():
            rows = kept[~constant]
            ends[own[~constant]] = _ends(
                lambda counts, rows=rows: rows @ counts.T.astype(np.float64) / counts.sum(1), rows.shape[1], method, confidence, seed
            )
    return ends


def aggregate_interval(
    reduction: str, cell: CellData, *, method: Method = "percentile", confidence: float = 0.95, seed: int = 0
) -> np.ndarray:
    """Bootstrap interval of a reduction, resampling the images of a cell.

    Args:
        reduction: name of a reduction of `aggregate`.
        cell: the cell; images without a value are not drawn.
        method: as in `mean_intervals`.
        confidence: confidence level, in (0, 1).
        seed: seed of the resamples.

    Returns:
        (2,), lower and upper end; NaN with fewer than two images, or if every resample is NaN.
    """
    present = np.flatnonzero(np.isfinite(cell.values))
    if len(present) < 2:
        return np.full(2, np.nan)

    def reduced(counts: np.ndarray) -> np.ndarray:  # (R, n) -> (1, R)
        weights = np.zeros((len(counts), len(cell.values)))
        weights[:, present] = counts
        return aggregate(reduction, cell, weights)[None]

    return _ends(reduced, len(present), method, confidence, seed)[0]


def _ends(statistic: Callable[[np.ndarray], np.ndarray], count: int, method: Method, confidence: float, seed: int) -> np.ndarray:
    """Interval ends (N, 2) of N statistics of draw counts, counts (R, n) -> (N, R).

    Image indices are resampled, so a resample becomes n counts shared by all statistics.
    """
    from scipy.stats import bootstrap

    def of_numbers(drawn: np.ndarray, axis: int = -1) -> np.ndarray:  # (R, size) or (size,) -> (N, R) or (N,)
        del axis
        rows = np.atleast_2d(drawn)
        offsets = np.arange(len(rows))[:, None] * count
        found = statistic(np.bincount((rows + offsets).ravel(), minlength=len(rows) * count).reshape(len(rows), count))
        return found if drawn.ndim > 1 else found[:, 0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate distribution has NaN
        interval = bootstrap(
            (np.arange(count),),
            of_numbers,
            vectorized=True,
            method="percentile" if method == "percentile" else "BCa",
            confidence_level=confidence,
            n_resamples=RESAMPLES,
            batch=max(1, _BATCH_VALUES // count),
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return np.stack([interval.low, interval.high], axis=1)
