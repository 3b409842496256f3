"""Paired tests of differences over images: Wilcoxon, sign flips, effect size, detectable difference."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from camdbench.tables.intervals import row_intervals
from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.sign_flips import FEW, exact_flips, sign_flip_test

_MOST_EXACT = 50  # images up to which scipy has the exact distribution of Wilcoxon's statistic without ties


class PairedTests(NamedTuple):
    """Tests of N pairs over their common images; each (N,) or (N, 2).

    Attributes:
        n: images with both values.
        difference: mean of a - b.
        interval: 95 % bootstrap interval of the difference.
        rank_biserial: matched-pairs rank-biserial correlation in [-1, 1]; positive if a is larger.
        p_wilcoxon: p-value of the Wilcoxon signed-rank test, zeros by Pratt.
        p_permutation: p-value of the sign-flip permutation test of the mean.
        min_detectable_difference: difference that a two-sided paired t-test at 5 % detects with 80 % power.
    """

    n: np.ndarray
    difference: np.ndarray
    interval: np.ndarray
    rank_biserial: np.ndarray
    p_wilcoxon: np.ndarray
    p_permutation: np.ndarray
    min_detectable_difference: np.ndarray


def paired_tests(rows: PairedRows, tolerances: np.ndarray | float = 0.0, *, seed: int = 0) -> PairedTests:
    """Test the differences of N pairs of cells over M images.

    Tests and rank-biserial correlation count a difference as 0 if its values tie, by at most `tolerances`, one for all pairs or (N,).
    The p-values of a pair do not depend on the other pairs. Time grows linearly with images and pairs, apart from a sort; blocks
    bound the memory.
    """
    n, (mean, effect, wilcoxon, detectable) = np.zeros(len(rows), dtype=np.int64), np.full((4, len(rows)), np.nan)
    for own, block in rows.blocks():
        n[own] = (~np.isnan(block)).sum(1)
        mean[own] = np.divide(np.nansum(block, 1), n[own], out=np.full(len(block), np.nan), where=n[own] > 0)
        detectable[own] = _detectable(block, n[own])
    for own, block in rows.blocks(tolerances):
        ranks = _signed_ranks(block)
        total = np.abs(ranks).sum(1)
        effect[own] = np.divide(ranks.sum(1), total, out=np.zeros(len(total)), where=total > 0)
        wilcoxon[own] = _wilcoxon(block)
    permutation = sign_flip_test(rows, tolerances, seed=seed)
    return PairedTests(n, mean, row_intervals(rows, seed=seed), effect, wilcoxon, permutation, detectable)


def _signed_ranks(differences: np.ndarray, *, pratt: bool = False) -> np.ndarray:
    """Signed ranks of the magnitudes of differences (N, M) that are not 0; 0 for others and NaN.

    The rank-biserial correlation ranks the differences other than 0 (Kerby 2014); `pratt`: zeros have the lowest ranks (Pratt 1959).
    """
    from scipy.stats import rankdata

    size = np.abs(differences)
    ranks = rankdata(np.where(np.isnan(size), np.inf, size), axis=1)  # missing ones rank last, so they move no other
    lowest = 0 if pratt else (size == 0).sum(1, keepdims=True)
    return np.where(size > 0, (ranks - lowest) * np.sign(differences), 0.0)


def _wilcoxon(differences: np.ndarray) -> np.ndarray:
    """P-values (N,) of Wilcoxon's test of differences (N, M): 1 if all are 0, NaN with fewer than two images.

    Exact for at most `FEW` images, and for at most 50 without zeros and ties, else the normal approximation. Each call of scipy has
    rows of one number of images, as its rule for ties applies to all its rows.
    """
    from scipy.stats import wilcoxon

    present = ~np.isnan(differences)
    n, moved = present.sum(1), (np.nan_to_num(differences, nan=0.0) != 0).any(1)
    found = np.where(n > 1, 1.0, np.nan)
    few = moved & (n > 1) & (n <= FEW)
    found[few] = exact_flips(_signed_ranks(differences[few], pratt=True))
    for size in np.unique(n[moved & (n > FEW)]):
        own = np.flatnonzero(moved & (n == size))
        kept = differences[own][present[own]].reshape(len(own), size)
        ties = _has_ties(kept) if size <= _MOST_EXACT else np.zeros(len(own), dtype=bool)
        for index in (ties, ~ties):
            if index.any():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # scipy warns of the normal approximation for small samples with ties
                    found[own[index]] = np.asarray(wilcoxon(kept[index], axis=1, zero_method="pratt"))[1]
    return found


def _has_ties(differences: np.ndarray) -> np.ndarray:
    """Return which rows (N, M) have a zero or two equal magnitudes."""
    size = np.sort(np.abs(differences), axis=1)
    return np.asarray((size[:, 0] == 0) | (size[:, 1:] == size[:, :-1]).any(1))


def _detectable(differences: np.ndarray, n: np.ndarray, alpha: float = 0.05, power: float = 0.8) -> np.ndarray:
    """Minimum detectable difference of a two-sided paired t-test, from the observed standard deviation.

    (t_{1 - alpha/2} + t_{power}) s / sqrt(n), t with n - 1 degrees of freedom.
    """
    from scipy.special import stdtrit

    found = np.full(len(n), np.nan)
    enough = n > 1
    free = n[enough] - 1
    spread = np.nanstd(differences[enough], axis=1, ddof=1)
    found[enough] = (stdtrit(free, 1 - alpha / 2) + stdtrit(free, power)) * spread / np.sqrt(n[enough])
    return found
