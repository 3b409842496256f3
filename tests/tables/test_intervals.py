"""Bootstrap intervals against a slow reading with a loop, and their edges."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.each import each
from scipy import stats

from camdbench.tables import paired_rows
from camdbench.tables.aggregates import CellData
from camdbench.tables.intervals import aggregate_interval, mean_intervals, row_intervals
from camdbench.tables.paired_rows import PairedRows

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
    monkeypatch.setattr(paired_rows, "_LEAST_WEIGHTS", 1)
    monkeypatch.setattr(paired_rows, "BLOCK_VALUES", 23 * 777)
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


def gapped(rows: int, images: int, share: float, seed: int = 3) -> np.ndarray:
    """Skewed values; each row lacks its own images."""
    random = np.random.default_rng(seed)
    values = random.gamma(0.7, 10.0, (rows, images))
    values[random.random(values.shape) < share] = np.nan
    return values


@each("method", ["percentile", "bca"])
@each(("images", "share"), [(300, 0.02), (600, 0.3), (60, 0.5)])
def test_rows_that_lack_different_images_have_scipys_intervals_within_seed_noise(method: str, images: int, share: float):
    """An end of 10,000 resamples has a standard error of 1.4 % of the half width; of BCa, whose level varies too, 2.5 %."""
    values = gapped(8, images, share)
    found = mean_intervals(values, method=method, seed=1)
    ratios = list[float]()
    for row, ends in zip(values, found, strict=True):
        kept = row[~np.isnan(row)]
        random = np.random.default_rng(6)
        theirs = stats.bootstrap(
            (kept,), np.mean, n_resamples=10_000, method=method, vectorized=True, batch=2000, rng=random
        ).confidence_interval
        half = (theirs.high - theirs.low) / 2
        assert ends == pytest.approx([theirs.low, theirs.high], abs=4 * 2**0.5 * (0.014 if method == "percentile" else 0.025) * half)
        ratios.append((ends[1] - ends[0]) / (theirs.high - theirs.low))
    assert np.mean(ratios) == pytest.approx(1, abs=4 * 0.014)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_interval_of_a_row_does_not_depend_on_what_others_lack(method: str):
    values = gapped(6, 200, 0.03)
    values[4] = values[1]
    values[5, 3:] = np.nan  # by itself, as it has three values
    values[3] = np.where(np.isnan(values[3]), np.nan, 0.1)
    found = mean_intervals(values, method=method)
    assert found[4].tolist() == found[1].tolist()
    assert found[3].tolist() == [0.1, 0.1]
    for row, ends in zip(values, found, strict=True):
        assert mean_intervals(row[None], method=method)[0] == pytest.approx(ends, rel=1e-12)
    assert mean_intervals(values[::-1], method=method)[::-1] == pytest.approx(found, rel=1e-12)


def test_intervals_of_pairs_are_those_of_their_differences():
    values = gapped(4, 150, 0.04)
    values[3] = values[2] + 5.0
    values[0, 20:] = np.nan
    one, two = np.array([0, 1, 1, 3, 2]), np.array([1, 2, 3, 2, 2])
    for method in ("percentile", "bca"):
        found = row_intervals(PairedRows(values, one, two), method=method, seed=2)
        assert found == pytest.approx(mean_intervals(values[one] - values[two], method=method, seed=2), rel=1e-9)
        assert found[3:] == pytest.approx(np.array([[5.0, 5.0], [0.0, 0.0]]))


def test_a_row_of_few_of_many_images_is_not_wider_than_by_itself():
    """Resampling 1,000 images for 20 values would widen the interval by 1 / 40; the threshold of a thousandth is for 330 values."""
    row = np.full((2, 1000), np.nan)
    row[:, 50:70] = VALUES[0, :20]
    row[1, 70:470] = np.random.default_rng(3).gamma(2.0, 10.0, 400)
    found = mean_intervals(row)
    assert found[0] == pytest.approx(mean_intervals(VALUES[:1, :20])[0], rel=1e-12)
    assert found[1].tolist() != mean_intervals(row[1:, 50:470])[0].tolist()


@each("method", ["percentile", "bca"])
@each(("size", "share"), [(60, 0.0), (80, 0.25), (700, 0.02)])
def test_intervals_cover_the_true_mean_as_often_as_they_say(method: str, size: int, share: float):
    """300 samples of skewed values with mean 1; 95 % less the known shortfall on small ones, within three standard errors."""
    random = np.random.default_rng(0)
    samples = random.exponential(size=(300, size))
    samples[random.random(samples.shape) < share] = np.nan
    ends = mean_intervals(samples, method=method, seed=1)
    assert 0.89 < ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean() < 0.98
