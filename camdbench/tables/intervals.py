"""Bootstrap intervals of what a table says, resampling images."""

from __future__ import annotations

import numpy as np

from camdbench.tables.aggregates import CellData, aggregate

RESAMPLES = 10_000
_BATCH_VALUES = 4_000_000  # numbers drawn at a time, which bounds the memory to some 100 MB


def mean_intervals(values: np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> np.ndarray:
    """Percentile bootstrap intervals of the mean of each row, resampling images.

    Rows that have values on the same images share their resamples, so equal rows get equal intervals and the work is
    done once. A constant row has its value as both ends, a row with fewer than two values has NaN.

    >>> mean_intervals(np.array([[3.0, 3.0, 3.0], [7.0, np.nan, np.nan]]))
    array([[ 3.,  3.],
           [nan, nan]])

    Args:
        values: (N, M), NaN where an image has no value.
        confidence: share of the distribution that lies inside, in (0, 1).
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
            ends[own[~constant]] = _bootstrap(kept[~constant], confidence, seed)
    return ends


def aggregate_interval(reduction: str, cell: CellData, *, confidence: float = 0.95, seed: int = 0) -> np.ndarray:
    """The percentile bootstrap interval of a cell's number, resampling its images and reducing each resample anew.

    Args:
        reduction: how the number is made, as `aggregate` knows it.
        cell: the images; those without a value are not drawn.
        confidence: share of the distribution that lies inside, in (0, 1).
        seed: seed of the resamples.

    Returns:
        (2,), lower and upper end; NaN with fewer than two images.
    """
    from scipy.stats import bootstrap

    present = np.flatnonzero(np.isfinite(cell.values))
    if len(present) < 2:
        return np.full(2, np.nan)

    def reduced(drawn: np.ndarray, axis: int) -> np.ndarray:  # (resamples, n) -> (resamples,)
        del axis
        offsets = np.arange(len(drawn))[:, None] * len(cell.values)
        counts = np.bincount((drawn + offsets).ravel(), minlength=len(drawn) * len(cell.values)).reshape(len(drawn), -1)
        return aggregate(reduction, cell, counts)

    interval = bootstrap(
        (present,),
        reduced,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(cell.values)),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return np.array([interval.low, interval.high])


def _bootstrap(values: np.ndarray, confidence: float, seed: int) -> np.ndarray:
    """(N, 2) for values (N, n) without gaps.

    What is resampled is the images' numbers: a resample becomes n counts, and the means of all rows one matrix product.
    """
    from scipy.stats import bootstrap

    count = values.shape[1]

    def means(drawn: np.ndarray, axis: int) -> np.ndarray:  # (resamples, n) -> (N, resamples)
        offsets = np.arange(len(drawn))[:, None] * count
        counts = np.bincount((drawn + offsets).ravel(), minlength=drawn.size).reshape(drawn.shape)
        return values @ counts.T.astype(np.float64) / drawn.shape[axis]

    interval = bootstrap(
        (np.arange(count),),
        means,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_VALUES // count),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return np.stack([interval.low, interval.high], axis=1)
