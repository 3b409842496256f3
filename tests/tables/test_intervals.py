"""Bootstrap intervals against a slow reading with a loop, and their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camdbench.tables import intervals
from camdbench.tables.aggregates import CellData
from camdbench.tables.intervals import aggregate_interval, mean_intervals

VALUES = np.random.default_rng(7).gamma(2.0, 10.0, size=(3, 23))


def test_against_a_loop_over_resamples():
    drawn = np.random.default_rng(0).integers(0, 23, size=(10_000, 23))
    for row, interval in zip(VALUES, mean_intervals(VALUES), strict=True):
        means = sorted(sum(row[index] for index in indices) / 23 for indices in drawn)
        place = 0.025 * 9_999  # linear interpolation between order statistics
        low = means[int(place)] + (place % 1) * (means[int(place) + 1] - means[int(place)])
        place = 0.975 * 9_999
        high = means[int(place)] + (place % 1) * (means[int(place) + 1] - means[int(place)])
        assert interval == pytest.approx([low, high], rel=1e-12)


def test_against_scipy_with_its_own_mean():
    for row, interval in zip(VALUES, mean_intervals(VALUES), strict=True):
        rng = np.random.default_rng(0)
        theirs = stats.bootstrap((row,), np.mean, n_resamples=10_000, method="percentile", vectorized=True, rng=rng).confidence_interval
        assert interval == pytest.approx([theirs.low, theirs.high], rel=1e-12)


def test_of_many_values_is_close_to_the_normal_interval():
    values = np.random.default_rng(1).normal(50, 10, size=(1, 1000))
    half = 1.96 * values.std(ddof=1) / np.sqrt(1000)
    assert mean_intervals(values)[0] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.05)


def test_constant_rows_have_no_width_and_short_ones_no_interval():
    nan = np.nan
    ends = mean_intervals(np.array([[0.1, 0.1, 0.1, nan], [7.0, nan, nan, nan], [nan, nan, nan, nan], [0.0, 100.0, nan, nan]]))
    assert ends[0].tolist() == [0.1, 0.1]
    assert np.isnan(ends[1:3]).all()
    assert ends[3].tolist() == [0.0, 100.0]
    assert mean_intervals(np.empty((0, 5))).shape == (0, 2)


def test_a_row_with_gaps_is_the_row_without_them():
    gaps = np.insert(VALUES[:1], [0, 5, 23], np.nan, axis=1)
    both = np.concatenate([gaps, np.insert(VALUES[1:2], [0, 5, 23], 1.0, axis=1)])
    assert mean_intervals(both)[0] == pytest.approx(mean_intervals(VALUES[:1])[0], rel=1e-12)


def test_the_same_rows_give_the_same_interval_whoever_stands_beside_them():
    twice = mean_intervals(VALUES[[0, 0, 1]])
    assert twice[0].tolist() == twice[1].tolist()
    assert mean_intervals(VALUES).tolist() == mean_intervals(VALUES).tolist()
    assert mean_intervals(VALUES[2:])[0] == pytest.approx(mean_intervals(VALUES)[2], rel=1e-12)


def test_drawing_in_small_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = mean_intervals(VALUES)
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 23 * 777)
    assert mean_intervals(VALUES) == pytest.approx(whole, rel=1e-12)


def test_a_higher_confidence_is_wider():
    narrow, wide = mean_intervals(VALUES, confidence=0.5), mean_intervals(VALUES, confidence=0.99)
    assert (wide[:, 0] < narrow[:, 0]).all()
    assert (wide[:, 1] > narrow[:, 1]).all()


def test_bca_against_scipy_with_its_own_mean():
    values = np.random.default_rng(2).exponential(size=(3, 40))
    found = mean_intervals(values, method="bca", seed=4)
    for row, ends in zip(values, found, strict=True):
        theirs = stats.bootstrap((row,), np.mean, n_resamples=10_000, method="BCa", rng=np.random.default_rng(4)).confidence_interval
        assert ends == pytest.approx(theirs, rel=1e-9)
    assert np.abs(found - mean_intervals(values, seed=4)).max() > 1e-3


def test_bca_goes_through_a_reduction_too():
    hits = 100.0 * (np.random.default_rng(0).random((40, 3)) < (0.2, 0.6, 0.4))
    cell = CellData(hits.mean(1), {"hits": (np.arange(3.0), hits)}, np.zeros(40, dtype=int))
    low, high = aggregate_interval("maximum over thresholds", cell, method="bca")
    best = hits.mean(0).max()
    theirs = stats.bootstrap(
        (np.arange(40),), lambda drawn: hits[drawn].mean(0).max(), vectorized=False, n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert low < best < high
    assert [low, high] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_cover_the_true_mean_as_often_as_they_say(method):
    random = np.random.default_rng(0)
    samples = random.exponential(size=(300, 60))  # skewed, with mean 1
    ends = np.concatenate([mean_intervals(row[None], method=method, seed=number) for number, row in enumerate(samples[:300])])
    covered = ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean()
    assert 0.89 < covered < 0.98  # 95 % less the known shortfall on skewed samples of 60, give or take three standard errors
