"""Paired tests against scipy pair by pair, and on values whose answer is known."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from camdbench.tables.paired_rows import PairedRows
from camdbench.tables.paired_tests import PairedTests, paired_tests


def of_differences(differences: np.ndarray) -> PairedTests:
    return paired_tests(PairedRows.of_cells(differences))


def test_the_detectable_difference_is_found_in_eighty_per_cent_of_samples():
    random, spread, n = np.random.default_rng(0), 3.0, 25
    sample = random.normal(0, spread, (1, n))
    sample *= spread / sample.std(ddof=1)
    effect = of_differences(sample).min_detectable_difference[0]
    samples = random.normal(effect, spread, (4000, n))
    found = stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.025)


def test_zeros_are_ranked_by_pratt_in_the_test_and_left_out_of_the_effect():
    """Ranks of all: four zeros, then 5 6 7.5 -7.5 9 10 11, with signs by fair coins; ranks of the others: 1 2 3.5 -3.5 5 6 7."""
    found = of_differences(np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, -3.0, 5.0, 6.0, 7.0]]))
    sums = [np.dot(signs, [5, 6, 7.5, 7.5, 9, 10, 11]) for signs in product((1, -1), repeat=7)]
    assert found.p_wilcoxon[0] == pytest.approx(np.mean(np.abs(sums) >= 5 + 6 + 9 + 10 + 11)) == 10 / 128
    assert found.rank_biserial[0] == pytest.approx((1 + 2 + 5 + 6 + 7) / 28)


def test_the_detectable_difference_has_tabled_quantiles_and_the_unbiased_variance():
    """Differences of mean 3 and sum of squares 14; t of 3 degrees of freedom: 3.182446 (97.5 %) and 0.978472 (80 %)."""
    found = of_differences(np.array([[1.0, 2.0, 3.0, 6.0, np.nan], [1.0, np.nan, np.nan, 3.0, np.nan]])).min_detectable_difference
    assert found[0] == pytest.approx((3.182446 + 0.978472) * (14 / 3) ** 0.5 / 2, rel=1e-6)
    assert found[1] == pytest.approx((12.706205 + 1.376382) * 2**0.5 / 2**0.5, rel=1e-6)  # one degree of freedom


def test_equal_explainers_do_not_differ():
    found = of_differences(np.zeros((2, 8)))
    assert found.p_wilcoxon.tolist() == found.p_permutation.tolist() == [1, 1]
    assert found.rank_biserial.tolist() == found.difference.tolist() == found.min_detectable_difference.tolist() == [0, 0]
    assert found.interval.tolist() == [[0, 0], [0, 0]]


def test_images_without_a_value_on_one_side_are_left_out_and_a_single_one_tests_nothing():
    differences = np.array([[1.0, 2.0, np.nan, 4.0], [np.nan, np.nan, 3.0, np.nan]])
    found = of_differences(differences)
    assert found.n.tolist() == [3, 1]
    assert found.difference.tolist() == pytest.approx([7 / 3, 3])
    assert found.p_wilcoxon[0] == pytest.approx(stats.wilcoxon([1.0, 2.0, 4.0], zero_method="pratt").pvalue)
    assert np.isnan(found.p_permutation[1])
    assert np.isnan(found.min_detectable_difference[1])


def test_each_pair_has_the_numbers_of_scipy_whatever_pairs_stand_beside_it():
    """Pairs with and without zeros, ties and gaps, of 9 to 80 images; scipy's rule for ties would apply to all rows of one call."""
    random = np.random.default_rng(2)
    values = random.gamma(1.0, 5.0, (8, 80))
    values[1:4] = values[1:4].round()
    values[0, 40:] = values[2, 9:] = values[4, 30:] = np.nan
    values[5, random.random(80) < 0.2] = np.nan
    values[7] = values[6]
    one, two = np.array(list(combinations(range(8), 2))).T
    found = paired_tests(PairedRows(values, one, two))
    for place, (first, second) in enumerate(zip(values[one], values[two], strict=True)):
        kept = (first - second)[~np.isnan(first - second)]
        assert found.n[place] == len(kept)
        if not kept.any():
            assert (found.p_wilcoxon[place], found.p_permutation[place], found.rank_biserial[place]) == (1, 1, 0)
            continue
        assert found.difference[place] == pytest.approx(kept.mean())
        assert found.p_wilcoxon[place] == pytest.approx(stats.wilcoxon(kept, zero_method="pratt").pvalue, rel=1e-12)
        ranks = stats.rankdata(np.abs(kept[kept != 0]))
        assert found.rank_biserial[place] == pytest.approx((ranks * np.sign(kept[kept != 0])).sum() / ranks.sum())
    swapped = paired_tests(PairedRows(values[::-1].copy(), 7 - two, 7 - one))
    assert swapped.p_wilcoxon.tolist() == pytest.approx(found.p_wilcoxon.tolist(), rel=1e-12)
    assert swapped.p_permutation.tolist() == found.p_permutation.tolist()
    assert swapped.rank_biserial.tolist() == pytest.approx((-found.rank_biserial).tolist(), abs=1e-12)
