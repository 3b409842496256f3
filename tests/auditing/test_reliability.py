"""Reliability against a literal reading with the coincidence matrix, scipy, Kendall's W and values whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.each import each
from scipy import stats

from camdbench.auditing.reliability import (
    RELIABILITY_COLUMNS,
    alpha_reason,
    alpha_resamples,
    inter_method,
    internal_consistency,
    krippendorff_alpha,
    rater_ranks,
    reliability_table,
    retest,
)
from camdbench.auditing.resampling import corrected_intervals, draw_resamples

RNG = np.random.default_rng(8)
Q = RNG.normal(size=(6, 1)) + RNG.normal(size=(6, 30))  # 6 explainers, 30 images


def coincidence_alpha(ratings: np.ndarray) -> float:
    """Interval alpha from the coincidence matrix of the values, pair by pair (Krippendorff 2011)."""
    units = [row[~np.isnan(row)] for row in ratings if (~np.isnan(row)).sum() > 1]
    values = sorted({float(value) for row in units for value in row})
    coincidences = np.zeros((len(values), len(values)))
    for row in units:
        for i, one in enumerate(row):
            for j, two in enumerate(row):
                if i != j:
                    coincidences[values.index(one), values.index(two)] += 1 / (len(row) - 1)
    totals, squares = coincidences.sum(1), np.subtract.outer(values, values) ** 2
    expected = sum(totals[c] * totals[k] * squares[c, k] for c in range(len(values)) for k in range(len(values)))
    return float(1 - (totals.sum() - 1) * (coincidences * squares).sum() / expected)


def table(text: str) -> np.ndarray:
    """Ratings (coders, units) of a text with a dot for a missing one."""
    return np.array([[np.nan if value == "." else float(value) for value in row.split()] for row in text.split(",")])


@dataclass(frozen=True)
class InterRater:
    """Krippendorff's alpha of the mid-ranks, its 95 % interval, and why it is undefined."""

    alpha: float
    low: float
    high: float
    reason: str = ""


def inter_rater(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> InterRater:
    """Inter-rater reliability of values (E, N), by the steps of `reliability_table`."""
    drawn = draw_resamples(values.shape[1], resamples, seed).images
    found = alpha_resamples(values, drawn)
    low, high = corrected_intervals(found[:, None])[0]
    return InterRater(float(found[0]), float(low), float(high), alpha_reason(values) if np.isnan(found[0]) else "")


def test_alpha_is_that_of_the_coincidence_matrix_with_ties_and_gaps():
    compared = 0
    for _ in range(60):
        ratings = RNG.integers(0, 4, RNG.integers(2, 8, 2)).astype(float)
        ratings[RNG.random(ratings.shape) < 0.2] = np.nan
        paired = ratings[(~np.isnan(ratings)).sum(1) > 1]
        if len(np.unique(paired[~np.isnan(paired)])) < 2:
            assert np.isnan(krippendorff_alpha(ratings))
            continue
        compared += 1
        assert krippendorff_alpha(ratings)[0] == pytest.approx(coincidence_alpha(ratings), abs=1e-12)
    assert compared > 40


def test_alpha_of_the_textbook_example():
    """Krippendorff's data C, which R's package irr documents: four coders, twelve units, 0.849 as interval data."""
    ratings = table("1 2 3 3 2 1 4 1 2 . . .,1 2 3 3 2 2 4 1 2 5 . 3,. 3 3 3 2 3 4 2 2 5 1 .,1 2 3 3 2 4 4 1 2 5 1 .")
    assert krippendorff_alpha(ratings.T)[0] == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_another_implementation():
    """Recorded from fast-krippendorff 0.9.0."""
    assert krippendorff_alpha(table("1 5 3 . 2,2 4 . 3 2,1.5 5 3 4 .,. 2 1 4 5").T)[0] == pytest.approx(0.2704436130411545, rel=1e-12)


def test_alpha_of_ranks_is_a_function_of_the_mean_spearman_and_of_kendalls_w():
    explainers, images = Q.shape
    rho = np.mean([stats.spearmanr(Q[:, i], Q[:, j]).statistic for i in range(images) for j in range(i)])
    alpha = krippendorff_alpha(rater_ranks(Q))[0]
    assert alpha == pytest.approx(1 - (1 - 1 / (images * explainers)) * (1 - rho), abs=1e-12)
    concordance = stats.friedmanchisquare(*Q).statistic / (images * (explainers - 1))  # as `compare` prints it
    assert alpha == pytest.approx(1 - (1 - 1 / (images * explainers)) * (1 - (images * concordance - 1) / (images - 1)), abs=1e-12)


def test_copies_of_a_rater_do_not_raise_alpha():
    drawn = draw_resamples(30, 2000).images
    found = krippendorff_alpha(rater_ranks(Q), drawn)
    assert found[1:].mean() == pytest.approx(found[0], abs=0.01)
    copied = krippendorff_alpha(np.repeat(rater_ranks(Q), 2, axis=1))[0]
    assert copied > found[0] + 0.005, "as independent raters they would"


def test_the_interval_of_alpha_holds_the_alpha_of_many_images():
    means = np.linspace(0, 1, 8)[:, None]
    true = inter_rater(means + RNG.normal(size=(8, 20_000)), resamples=1).alpha
    found = [inter_rater(means + RNG.normal(size=(8, 40)), resamples=200, seed=seed) for seed in range(80)]
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.9


def test_an_image_without_some_values_ranks_the_others_on_the_same_scale():
    values = np.array([[0.1, np.nan, 0.3], [0.2, 0.5, 0.1], [0.3, 0.7, np.nan]])
    assert rater_ranks(values)[:, 0].tolist() == [1, 2, 3]
    assert rater_ranks(values)[1:, 1].tolist() == [pytest.approx(4 / 3), pytest.approx(8 / 3)]
    assert inter_rater(np.where(RNG.random(Q.shape) < 0.05, np.nan, Q)).alpha == pytest.approx(inter_rater(Q).alpha, abs=0.1)


def test_inter_method_and_internal_consistency_are_means_of_scipys_spearman():
    gaps = np.where(RNG.random(Q.shape) < 0.1, np.nan, Q)
    twin = Q + RNG.normal(size=Q.shape)
    for own in (Q, gaps):
        pairs = [stats.spearmanr(own[e], own[f], nan_policy="omit").statistic for e in range(6) for f in range(e)]
        assert inter_method(own) == pytest.approx(np.mean(pairs))
        images = [stats.spearmanr(own[:, i], twin[:, i], nan_policy="omit").statistic for i in range(30)]
        assert internal_consistency(own, twin) == pytest.approx(np.mean(images))
    assert inter_method(np.tile(RNG.normal(size=30), (3, 1)) * [[1], [2], [3]]) == pytest.approx(1), "a metric of the image alone"


def test_retest_compares_what_both_define():
    found = retest(Q, Q)
    assert (found.order, found.within_images, found.within_explainers, found.difference, found.n) == pytest.approx((1, 1, 1, 0, 180))
    other = np.where(RNG.random(Q.shape) < 0.1, np.nan, -Q - 1)
    found = retest(Q, other)
    assert found.order == found.within_images == found.within_explainers == pytest.approx(-1)
    assert found.difference == pytest.approx(np.nanmean(np.abs(2 * Q + 1)[~np.isnan(other)]))
    assert found.n == int((~np.isnan(other)).sum())


def test_the_table_has_a_row_per_network_and_their_mean():
    values = {"insertion": np.stack([Q, Q[::-1]]), "deletion": np.stack([Q, -Q]), "ad": np.full((2, 6, 30), 0.1)}
    found = reliability_table(values, ["one", "two"], resamples=50).set_index(["metric", "model"])
    assert list(found.reset_index()[list(RELIABILITY_COLUMNS)].columns) == list(RELIABILITY_COLUMNS)
    assert found.loc[("insertion", "one"), "alpha"] == pytest.approx(inter_rater(Q, 50).alpha)
    assert found.loc[("insertion", "one"), "consistency"] == pytest.approx(1)
    assert found.loc[("insertion", "*"), "alpha"] == pytest.approx(found.loc["insertion"]["alpha"].iloc[:2].mean())
    assert (found["alpha_low"].dropna() <= found["alpha"].dropna()).all()
    assert found.loc[("ad", "*"), "reason"] == "all explainers tie on every image"
    assert found.loc[("ad", "one"), "consistency_with"] == ""


@each(
    ("values", "reason"),
    [
        (Q[:1], "fewer than 2 explainers"),
        (Q[:0], "fewer than 2 explainers"),
        (Q[:, :1], "fewer than 2 images with values of 2 explainers"),
        (Q[:, :0], "fewer than 2 images with values of 2 explainers"),
        (np.full((3, 4), np.nan), "fewer than 2 images with values of 2 explainers"),
        (np.ones((3, 4)), "all explainers tie on every image"),
    ],
)
def test_what_has_no_alpha_says_why(values, reason):
    found = inter_rater(values, resamples=20)
    assert np.isnan([found.alpha, found.low, found.high]).all()
    assert found.reason == reason
    assert np.isnan(inter_method(values))
    assert np.isnan(internal_consistency(values, np.full_like(values, np.nan)))
