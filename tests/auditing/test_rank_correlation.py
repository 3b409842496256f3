"""Rank correlations against scipy, row by row, with ties and undefined values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.auditing.rank_correlation import (
    kendall_tau,
    mean_of_defined,
    mid_ranks,
    pair_differences,
    pair_weights,
    pairs,
    spearman_rows,
)
from camdbench.auditing.resampling import draw_resamples

RNG = np.random.default_rng(5)
A, B = RNG.integers(0, 6, (2, 9, 8)).astype(float)  # with ties
GAPS = np.where(RNG.random((9, 8)) < 0.2, np.nan, A)


def test_spearman_of_rows_is_scipys_over_the_common_columns():
    for one in (A, GAPS):
        expected = [stats.spearmanr(a, b, nan_policy="omit").statistic for a, b in zip(one, B, strict=True)]
        assert spearman_rows(one, B) == pytest.approx(expected)
    constant = np.array([[0.1, 0.1, 0.1], [1, np.nan, 2], [np.nan] * 3])
    assert np.isnan(spearman_rows(constant, np.array([[1.0, 2, 3]] * 3))).tolist() == [True, False, True]
    assert mid_ranks(np.array([[2.0, np.nan], [2.0, 1.0]])).tolist()[1] == [1.5, 1.0]
    assert mean_of_defined(np.array([[1.0, np.nan], [3.0, np.nan]]))[0] == 2


def test_tau_of_mean_values_is_scipys_in_every_resample():
    weights = draw_resamples(8, 20).images
    signs = [pair_differences(weights, values).signs() for values in (A, B)]
    expected = [stats.kendalltau(A @ row, B @ row).statistic for row in weights]
    assert kendall_tau(signs[0], signs[1]) == pytest.approx(expected)
    assert kendall_tau(signs[0], signs[1][:1]) == pytest.approx([stats.kendalltau(A @ row, B.sum(1)).statistic for row in weights])


def test_tau_of_resampled_explainers_is_scipys_of_the_copied_rows():
    drawn = draw_resamples(8, 20, explainers=9)
    assert drawn.explainers is not None
    signs = [pair_differences(drawn.images, values).signs() for values in (A, B)]
    found = kendall_tau(signs[0], signs[1], pair_weights(drawn.explainers))
    for tau, images, counts in zip(found, drawn.images, drawn.explainers.astype(int), strict=True):
        copied = [np.repeat(values @ images, counts) for values in (A, B)]
        assert tau == pytest.approx(stats.kendalltau(*copied).statistic)


def test_a_pair_is_compared_on_the_images_that_both_define():
    values = np.array([[1.0, 9.0, np.nan], [2.0, np.nan, 5.0], [np.nan, 8.0, 7.0], [np.nan] * 3])
    found = pair_differences(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]]), values)
    assert list(zip(*pairs(4), strict=True))[:3] == [(0, 1), (0, 2), (0, 3)]
    assert found.signs().tolist() == [[-1, 1, 0, -1, 0, 0], [-1, 0, 0, -1, 0, 0]]
    assert found.signs(1.0).tolist()[0] == [0, 0, 0, -1, 0, 0]
    whole = pair_differences(draw_resamples(8, 20).images, np.concatenate([A, A + 1e-15]))
    same = [one + 9 == two for one, two in zip(*pairs(18), strict=True)]
    assert not whole.signs()[:, same].any(), "rounding is no difference"


def test_what_has_no_order_has_no_tau():
    one, none = np.ones((2, 3), dtype=np.float32), np.zeros((2, 3), dtype=np.float32)
    assert np.isnan(kendall_tau(one, none)).all()
    assert np.isnan(kendall_tau(none, one)).all()
    assert np.isnan(kendall_tau(none[:, :0], one[:, :0])).all()
    assert kendall_tau(one, one).tolist() == [1, 1]
