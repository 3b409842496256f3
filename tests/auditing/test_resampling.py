"""Resamples and intervals: counts, scipy's BCa without acceleration, the edges, and coverage in a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.auditing.rank_correlation import kendall_tau, pair_differences, pair_weights
from camdbench.auditing.resampling import corrected_intervals, draw_resamples, rank_intervals, resampled_means


def test_every_unit_is_drawn_as_often_as_there_are_units_and_the_first_row_draws_each_once():
    drawn = draw_resamples(7, 50, seed=3, explainers=4, recipes=["a", "a", "b", "a", "b", "c"])
    assert drawn.units == "images+explainers+seeds"
    for counts in (drawn.images, drawn.explainers, drawn.networks):
        assert counts is not None
        assert counts[0].tolist() == [1] * counts.shape[1]
        assert (counts.sum(1) == counts.shape[1]).all()
    assert drawn.networks is not None
    assert (drawn.networks[:, [0, 1, 3]].sum(1) == 3).all()
    assert (drawn.networks[:, 5] == 1).all(), "a recipe of one network has no seeds to resample"
    assert draw_resamples(7, 50, seed=3).images.tolist() == drawn.images.tolist()
    assert draw_resamples(7, 50, seed=4).images.tolist() != drawn.images.tolist()
    assert draw_resamples(7, 50, recipes=["a", "b"]).units == "images"


def test_the_corrected_interval_is_efrons():
    values = np.random.default_rng(2).gamma(2.0, size=40)
    drawn = draw_resamples(40, 999).images
    means = resampled_means(drawn, values[None])[:, 0]
    bias = stats.norm.ppf((means[1:] < values.mean()).mean())
    expected = np.quantile(means[1:], stats.norm.cdf(2 * bias + stats.norm.ppf([0.025, 0.975])))
    assert corrected_intervals(means[:, None])[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("intervals", [corrected_intervals, rank_intervals])
def test_an_interval_holds_its_estimate_and_undefined_resamples_are_left_out(intervals):
    nan = np.nan
    columns = [
        [0.9, 0.1, 0.2, 0.3, 0.4],  # no resample reaches the estimate
        [0.5, 0.5, 0.5, 0.5, 0.5],
        [0.5, 0.5, nan, 0.5, nan],
        [nan, 0.5, 0.5, 0.5, 0.5],
        [0.5, nan, nan, nan, 0.5],
    ]
    low, high = intervals(np.array(columns).T).T
    assert low[0] <= 0.4
    assert high[0] == pytest.approx(0.9) if intervals is corrected_intervals else high[0] == 1
    assert (low[1:3].tolist(), high[1:3].tolist()) == ([0.5, 0.5], [0.5, 0.5])
    assert np.isnan([low[3:], high[3:]]).all()


def coverage(correlation: float, noise: float, *, explainers: bool, repetitions: int = 80) -> tuple[float, float]:
    """Share of intervals that hold the true tau, and share that leave out 0; 12 explainers, 40 images."""
    rng = np.random.default_rng(11)
    drawn = draw_resamples(40, 200, explainers=12 if explainers else None)
    weights = None if drawn.explainers is None else pair_weights(drawn.explainers)
    held = left = 0
    for _ in range(repetitions):
        metric = rng.normal(size=12)
        truth = correlation * metric + np.sqrt(1 - correlation**2) * rng.normal(size=12)
        scale = 1.0 if noise < 10 else 0.0  # else explainers differ by noise alone
        own, theirs = (scale * means[:, None] + noise * rng.normal(size=(12, 40)) for means in (metric, truth))
        taus = kendall_tau(pair_differences(drawn.images, own).signs(), pair_differences(drawn.images, theirs).signs(), weights)
        low, high = rank_intervals(taus[:, None])[0]
        true = 2 / np.pi * np.arcsin(correlation) if explainers else float(np.asarray(stats.kendalltau(metric, truth))[0]) * scale
        held += low - 1e-9 <= true <= high + 1e-9
        left += low > 0 or high < 0
    return held / repetitions, left / repetitions


def test_intervals_of_tau_hold_the_true_tau_and_do_not_leave_out_0_for_noise():
    assert coverage(0.5, 0.5, explainers=False)[0] >= 0.9
    assert coverage(0.5, 0.5, explainers=True)[0] >= 0.9
    held, left = coverage(0.0, 10.0, explainers=False)
    assert (held, left) == (1, 0)
    held, left = coverage(0.0, 0.1, explainers=True)
    assert held >= 0.9
    assert left <= 0.1
