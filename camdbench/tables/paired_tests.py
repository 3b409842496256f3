"""Paired tests of differences over images: Wilcoxon, sign flips, effect size, detectable difference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from camdbench.tables.intervals import row_intervals
from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.sign_flips import sign_flip_test
from camdbench.tables.signed_ranks import signed_ranks, wilcoxon_p


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
        ranked = signed_ranks(block)
        effect[own], wilcoxon[own] = ranked.rank_biserial(), wilcoxon_p(block, ranked)
    permutation = sign_flip_test(rows, tolerances, seed=seed)
    return PairedTests(n, mean, row_intervals(rows, seed=seed), effect, wilcoxon, permutation, detectable)


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
