"""Rank correlations of many rows at once, with undefined values left out pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

ALL = "*"  # model of a row about all networks
_ROUNDING = 1e-12  # bound of the rounding error of a mean, as a fraction of the largest magnitude


def mid_ranks(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mid-ranks along an axis, from 1, among the defined values; NaN where the value is NaN.

    >>> mid_ranks(np.array([0.3, np.nan, 0.1, 0.3])).tolist()
    [2.5, nan, 1.0, 2.5]
    """
    from scipy.stats import rankdata

    missing = np.isnan(values)
    ranks = rankdata(np.where(missing, np.inf, values), axis=axis)  # infinite ones come last and do not move the others
    return np.where(missing, np.nan, ranks)


def spearman_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman correlations (K,) of K pairs of rows (K, N), each over the columns where both are defined; NaN if one is constant there.

    >>> spearman_rows(np.array([[1.0, 2.0, np.nan, 4.0]]), np.array([[1.0, 3.0, 0.0, 2.0]])).tolist()
    [0.5]
    """
    missing = np.isnan(a) | np.isnan(b)
    centre = ((~missing).sum(1, keepdims=True) + 1) / 2  # the mean rank, exactly
    moved = [np.where(missing, 0.0, mid_ranks(np.where(missing, np.nan, part), 1) - centre) for part in (a, b)]
    square = (moved[0] ** 2).sum(1) * (moved[1] ** 2).sum(1)
    found = np.divide((moved[0] * moved[1]).sum(1), np.sqrt(square), out=np.full(len(square), np.nan), where=square > 0)
    return np.clip(found, -1, 1)


def mean_defined(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Means over the first axis of the values that are not NaN; NaN where there are none."""
    counts = (~np.isnan(values)).sum(0)
    return np.divide(np.nansum(values, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the two members of each pair of `count` things.

    >>> [index.tolist() for index in pairs(3)]
    [[0, 0, 1], [1, 2, 2]]
    """
    both = np.array(list(combinations(range(count), 2)), dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


@dataclass(frozen=True)
class PairDifferences:
    """Summed differences of the pairs of E explainers under R weightings of images.

    Attributes:
        total: (R, P) sum of weight times difference, over the images on which both of a pair are defined.
        count: (R, P) or (R, 1) sum of the weights.
        rounding: bound of the rounding error of a mean.
    """

    total: np.ndarray
    count: np.ndarray
    rounding: float = 0.0

    @property
    def known(self) -> np.ndarray:
        """Pairs (P,) that have a common image."""
        return np.broadcast_to(self.count[0] > 0, self.total.shape[1:])

    def signs(self, tolerance: float = 0.0) -> np.ndarray:
        """Signs (R, P) of the mean differences, float32; 0 if the magnitude is at most `tolerance`, or if no image is common."""
        tied = np.abs(self.total) <= (tolerance + self.rounding) * self.count
        return np.where(tied, np.float32(0), np.sign(self.total).astype(np.float32))


def pair_differences(weights: np.ndarray, values: np.ndarray) -> PairDifferences:
    """Differences of all pairs of rows (E, N) under weights of images (R, N).

    Both means of a pair are taken over the images on which both rows are defined, so explainers that are undefined on hard images gain
    nothing.
    """
    first, second = pairs(len(values))
    missing = np.isnan(values)
    known = np.where(missing, 0.0, values)
    rounding = _ROUNDING * float(np.abs(known).max(initial=0.0))
    if not missing.any():
        totals = weights @ values.T
        return PairDifferences(totals[:, first] - totals[:, second], weights.sum(1, keepdims=True), rounding)
    both = ~(missing[first] | missing[second])
    total = weights @ np.where(both, known[first] - known[second], 0.0).T
    return PairDifferences(total, weights @ both.T.astype(np.float64), rounding)


def kendall_tau(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    r"""Kendall's tau-b (R,) from signs of pairs (R, P) or (1, P), each pair weighted by (R, P), default 1; NaN if all pairs tie in one.

    .. math:: \tau_b = \frac{\sum_p w_p a_p b_p}{\sqrt{\sum_p w_p a_p^2 \sum_p w_p b_p^2}}

    Kendall 1945, Biometrika 33, 239-251. If explainers are resampled, the weight of a pair is the product of their counts: copies of one
    explainer tie in both orders and count in neither sum.
    """
    weighted = a if weights is None else a * weights
    product = np.einsum("rp,rp->r", *np.broadcast_arrays(weighted, b)).astype(np.float64)
    own, other = _squares(a, weights), _squares(b, weights)
    square = own * other
    return np.divide(product, np.sqrt(square), out=np.full(len(product), np.nan), where=square > 0)


def _squares(signs: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Sums (R,) of squared signs."""
    weighted = signs if weights is None else signs * weights
    return np.einsum("rp,rp->r", *np.broadcast_arrays(weighted, signs)).astype(np.float64)


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """Weights (R, P) float32 of pairs from the counts (R, E) of explainers."""
    first, second = pairs(counts.shape[1])
    return (counts[:, first] * counts[:, second]).astype(np.float32)
