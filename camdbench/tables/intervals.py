"""Bootstrap intervals of table values, resampling images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from camdbench.tables.aggregates import CellData, aggregate
from camdbench.tables.paired_rows import BLOCK_VALUES, RESAMPLES, PairedRows, missing_sums, paired_sums, weight_rows

Method = Literal["percentile", "bca"]
_WIDER = 1e-3
"""Largest relative widening of an interval by resampling all images in place of the row's own; its seed noise is 13 times that."""

_Statistic = Callable[[np.ndarray], np.ndarray]  # counts (r, n) -> (r, N)


def mean_intervals(values: np.ndarray, *, method: Method = "percentile", confidence: float = 0.95, seed: int = 0) -> np.ndarray:
    """Bootstrap intervals of the mean of each row, resampling images.

    Rows share their resamples, so rows with equal values have equal intervals, whatever other rows lack. A constant row has its value
    as both ends; a row with fewer than two values has NaN.

    All M images are resampled: a resample has the mean of those of its images that have a value. The row's own n images are resampled
    where that would widen the interval by more than a thousandth, by about (1 - n / M) / 2n: a row of few values on a part of the
    images. The memory does not grow with the number of resamples times the number of images.

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
    return row_intervals(PairedRows.of_cells(values), method=method, confidence=confidence, seed=seed)


def row_intervals(rows: PairedRows, *, method: Method = "percentile", confidence: float = 0.95, seed: int = 0) -> np.ndarray:
    """Bootstrap intervals (N, 2) of the mean of N rows of differences; arguments and result as in `mean_intervals`."""
    n, low, high, skew = np.zeros(len(rows), dtype=np.int64), *np.full((3, len(rows)), np.nan)
    for own, block in rows.blocks():
        present = ~np.isnan(block)
        n[own] = present.sum(1)
        low[own] = block.min(1, initial=np.inf, where=present)
        high[own] = block.max(1, initial=-np.inf, where=present)
        skew[own] = _acceleration(block, present)
    ends = np.full((len(rows), 2), np.nan)
    constant, open_ = (n > 1) & (low == high), (n > 1) & (low < high)
    ends[constant] = low[constant, None]
    common = open_ & (1 - n / max(1, rows.images) <= 2 * n * _WIDER)
    for index in rows.groups(np.flatnonzero(common), rows.images - n[common]):
        ends[index] = _ends(_common_means(rows.select(index)), rows.images, skew[index], method, confidence, seed)
    for size in np.unique(n[open_ & ~common]):
        for index in rows.groups(np.flatnonzero(open_ & ~common & (n == size))):
            kept = np.concatenate([block[~np.isnan(block)] for _, block in rows.select(index).blocks()]).reshape(-1, size)
            ends[index] = _ends(lambda counts, kept=kept: counts @ kept.T / kept.shape[1], size, skew[index], method, confidence, seed)
    return ends


def _common_means(rows: PairedRows) -> _Statistic:
    """Means of the drawn images that have a value, of resamples of all images."""
    sums = paired_sums(rows)
    missing = missing_sums(rows)

    def of(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # 0/0, if no image with a value is drawn, gives NaN
            return sums.of(counts) / (rows.images - missing(counts))

    return of


def _acceleration(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Acceleration of the mean of each row (N, M) by the jackknife, in closed form: a sixth of the skewness over the root of n."""
    n = np.maximum(present.sum(1, keepdims=True), 1)
    moved = np.where(present, rows, 0.0)
    moved = np.where(present, moved - moved.sum(1, keepdims=True) / n, 0.0)
    square = (moved**2).sum(1)
    return np.divide((moved**3).sum(1) / 6, square**1.5, out=np.zeros(len(rows)), where=square > 0)


def aggregate_interval(
    reduction: str, cell: CellData, *, method: Method = "percentile", confidence: float = 0.95, seed: int = 0
) -> np.ndarray:
    """Bootstrap interval of a reduction, resampling the images of a cell.

    The time of `bca` grows with the square of the number of images, as each is left out once.

    Args:
        reduction: name of a reduction of `aggregate`.
        cell: the cell; images without a value are not drawn.
        method: as in `mean_intervals`.
        confidence: confidence level, in (0, 1).
        seed: seed of the resamples.

    Returns:
        (2,), lower and upper end; NaN with fewer than two images, or if a resample is NaN.
    """
    present = np.flatnonzero(np.isfinite(cell.values))
    if len(present) < 2:
        return np.full(2, np.nan)

    def reduced(counts: np.ndarray) -> np.ndarray:
        weights = np.zeros((len(counts), len(cell.values)))
        weights[:, present] = counts
        return aggregate(reduction, cell, weights)[:, None]

    skew = _jackknife(reduced, len(present)) if method == "bca" else np.zeros(1)
    return _ends(reduced, len(present), skew, method, confidence, seed)[0]


def _jackknife(statistic: _Statistic, size: int) -> np.ndarray:
    """Acceleration (N,) of statistics, from their values without each image (Efron 1987)."""
    step = max(1, BLOCK_VALUES // size)
    without = np.concatenate([statistic(1 - np.eye(min(step, size - start), size, k=start)) for start in range(0, size, step)])  # (size, N)
    moved = without.mean(0) - without
    square = (moved**2).sum(0)
    return np.divide((moved**3).sum(0) / 6, square**1.5, out=np.full(len(square), np.nan), where=square > 0)


def _ends(statistic: _Statistic, size: int, skew: np.ndarray, method: Method, confidence: float, seed: int) -> np.ndarray:
    """Interval ends (N, 2) of N statistics of how often each of `size` images is drawn; `skew` is the acceleration of `bca`, (N,)."""
    found, start, tail = np.empty((len(skew), RESAMPLES)), 0, (1 - confidence) / 2
    for counts in _resamples(size, seed):
        found[:, start : start + len(counts)] = statistic(counts).T
        start += len(counts)
    if method == "percentile":
        return np.quantile(found, [tail, 1 - tail], axis=1, overwrite_input=True).T
    levels = bca_levels(found, statistic(np.ones((1, size)))[0], skew, tail)
    ends = [np.quantile(row, np.nan_to_num(level, nan=0.5)) for row, level in zip(found, levels, strict=True)]
    return np.where(np.isnan(levels), np.nan, ends)


def bca_levels(found: np.ndarray, value: np.ndarray, skew: np.ndarray, tail: float) -> np.ndarray:
    """Levels (N, 2) of the quantiles of resamples (N, R) that are the ends of the interval of `value` (N,) (Efron 1987)."""
    from scipy.special import ndtr, ndtri

    slack = 1e-12 * np.abs(found).max(1)
    below, above = (((found < (value + side * slack)[:, None]).mean(1)) for side in (-1, 1))  # equal ones, up to rounding, count half
    bias = ndtri((below + above) / 2)[:, None]
    moved = bias + ndtri(np.array([tail, 1 - tail]))
    with np.errstate(invalid="ignore"):
        return ndtr(bias + moved / (1 - skew[:, None] * moved))


def _resamples(size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of `size` images is drawn in resamples, (r, size), some at a time."""
    rng = np.random.default_rng(seed)
    step = weight_rows(size)
    for start in range(0, RESAMPLES, step):
        drawn = rng.integers(0, size, (min(step, RESAMPLES - start), size))
        if size >= 256:  # a row fits the cache
            counts = np.empty(drawn.shape)
            for line, own in zip(counts, drawn, strict=True):
                line[:] = np.bincount(own, minlength=size)
        else:
            drawn += np.arange(len(drawn))[:, None] * size
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        yield counts
