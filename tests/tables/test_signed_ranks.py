"""Signed ranks, the rank-biserial correlation and the normal approximation of Wilcoxon's test, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.tables.signed_ranks import signed_ranks


@pytest.fixture
def differences() -> np.ndarray:
    """Rows with ties, zeros and gaps, and without."""
    random = np.random.default_rng(0)
    rows = random.normal(0.3, 1.0, (6, 120))
    rows[1:4] = rows[1:4].round(1)
    rows[2, :30] = 0.0
    rows[3:5, 100:] = np.nan
    rows[5] = np.abs(rows[5])
    return rows


def test_ranks_and_ties_are_those_of_scipy(differences: np.ndarray):
    found = signed_ranks(differences)
    for place, row in enumerate(differences):
        kept = row[~np.isnan(row)]
        expected = np.zeros(len(row))
        expected[~np.isnan(row)] = stats.rankdata(np.abs(kept)) * np.sign(kept)
        np.testing.assert_array_equal(found.ranks[place], expected)
        _, counts = np.unique(np.abs(kept[kept != 0]), return_counts=True)
        assert found.ties[place] == (counts**3 - counts).sum()
        assert (found.n[place], found.zeros[place]) == (len(kept), (kept == 0).sum())
        ranks = stats.rankdata(np.abs(kept[kept != 0]))
        assert found.rank_biserial()[place] == pytest.approx((ranks * np.sign(kept[kept != 0])).sum() / ranks.sum(), rel=1e-12)


def test_the_normal_approximation_is_that_of_scipy(differences: np.ndarray):
    found = signed_ranks(differences).normal_p()
    for p, row in zip(found, differences, strict=True):
        expected = stats.wilcoxon(row[~np.isnan(row)], zero_method="pratt", method="asymptotic").pvalue
        assert p == pytest.approx(expected, rel=1e-10)
