"""Signed ranks of differences over images: rank-biserial correlation and Wilcoxon's test from one sort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from camdbench.tables.sign_flips import FEW, exact_flips

_MOST_EXACT = 50  # images up to which scipy has the exact distribution of Wilcoxon's statistic without ties


class SignedRanks(NamedTuple):
    """Signed ranks of N rows of differences over M images.

    Attributes:
        ranks: (N, M), the rank of each magnitude among all of its row with the sign of the difference; zeros have the lowest ranks
            (Pratt 1959) and appear as 0, as do missing differences. Equal magnitudes share the mean of their ranks.
        n: (N,) differences.
        zeros: (N,) differences that are 0.
        ties: (N,) sum of t^3 - t over groups of t equal magnitudes other than 0.
    """

    ranks: np.ndarray
    n: np.ndarray
    zeros: np.ndarray
    ties: np.ndarray

    def rank_biserial(self) -> np.ndarray:
        """Return the matched-pairs rank-biserial correlations (N,) in [-1, 1], of the differences other than 0 (Kerby 2014).

        Positive if positive differences prevail; 0 without any difference.
        """
        shifted = np.where(self.ranks != 0, np.abs(self.ranks) - self.zeros[:, None], 0.0)
        total = shifted.sum(1)
        return np.divide((shifted * np.sign(self.ranks)).sum(1), total, out=np.zeros(len(total)), where=total > 0)

    def normal_p(self) -> np.ndarray:
        """Return the two-sided p-values (N,) of Wilcoxon's test by the normal approximation with Pratt's zeros (Cureton 1967)."""
        from scipy.special import ndtr

        n, zeros = self.n.astype(np.float64), self.zeros.astype(np.float64)
        positive = np.where(self.ranks > 0, self.ranks, 0.0).sum(1)
        mean = (n * (n + 1) - zeros * (zeros + 1)) / 4
        square = n * (n + 1) * (2 * n + 1) - zeros * (zeros + 1) * (2 * zeros + 1) - self.ties / 2
        with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 of rows without a difference, which have no p-value here
            return 2 * ndtr(-np.abs(positive - mean) / np.sqrt(square / 24))


def signed_ranks(differences: np.ndarray) -> SignedRanks:
    """Rank the magnitudes of differences (N, M), NaN where there is none.

    >>> signed_ranks(np.array([[0.0, -2.0, 2.0, 5.0]])).ranks.tolist()
    [[0.0, -2.5, 2.5, 4.0]]
    """
    size = np.abs(differences)
    size[np.isnan(size)] = np.inf  # missing ones rank last, so they move no other
    order = np.argsort(size, axis=1)
    ordered = np.take_along_axis(size, order, axis=1)
    count, images = size.shape
    begins = np.ones(size.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.flatnonzero(begins)
    length = np.diff(first, append=begins.size)
    row, place = np.divmod(first, max(1, images))
    ranks = np.empty(size.shape)
    np.put_along_axis(ranks, order, np.repeat(place + (length + 1) / 2, length).reshape(size.shape), axis=1)
    counted = np.isfinite(ordered.ravel()[first]) & (ordered.ravel()[first] > 0)
    own = length[counted].astype(np.float64)
    ties = np.bincount(row[counted], weights=own**3 - own, minlength=count)
    signed = np.where(np.isfinite(size) & (size > 0), ranks * np.sign(differences), 0.0)
    return SignedRanks(signed, np.isfinite(size).sum(1), (size == 0).sum(1), ties)


def wilcoxon_p(differences: np.ndarray, ranked: SignedRanks) -> np.ndarray:
    """P-values (N,) of Wilcoxon's test of differences (N, M), zeros by Pratt: 1 if all are 0, NaN with fewer than two images.

    Exact for at most `FEW` images, and for at most 50 without zeros and ties, else the normal approximation.

    Args:
        differences: the differences, NaN where there is none.
        ranked: their signed ranks.
    """
    moved, n = ranked.zeros < ranked.n, ranked.n
    found = np.where(n > 1, 1.0, np.nan)
    few = moved & (n > 1) & (n <= FEW)
    found[few] = exact_flips(ranked.ranks[few])
    exact = moved & (n > FEW) & (n <= _MOST_EXACT) & (ranked.zeros == 0) & (ranked.ties == 0)
    normal = moved & (n > FEW) & ~exact
    found[normal] = ranked.normal_p()[normal]
    for size in np.unique(n[exact]):
        own = np.flatnonzero(exact & (n == size))
        found[own] = _exact_p(differences[own][~np.isnan(differences[own])].reshape(len(own), size))
    return found


def _exact_p(differences: np.ndarray) -> np.ndarray:
    from scipy.stats import wilcoxon

    return np.asarray(wilcoxon(differences, axis=1, method="exact"))[1]
