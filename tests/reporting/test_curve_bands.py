"""Bands of mean curves are percentile bootstraps over images, written out; they stay in the range of the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import camdbench
from camdbench.reporting.curve_bands import curve_band, curve_bands
from camdbench.tables.load import load_curves
from camdbench.tables.pool import load_pooled


def test_the_ends_are_quantiles_of_means_of_resampled_images():
    y = np.random.default_rng(5).random((6, 4))
    drawn = np.random.default_rng(0).integers(0, 6, (10_000, 6))  # the same draws: images, for all points at once
    means = np.array([[y[images, place].mean() for place in range(4)] for images in drawn])
    band = curve_band(np.arange(4.0), y)
    np.testing.assert_allclose(band.mean, y.mean(0), rtol=1e-14)
    np.testing.assert_allclose(np.stack([band.low, band.high]), np.quantile(means, [0.025, 0.975], axis=0), rtol=1e-12)
    assert band.count.tolist() == [6] * 4


def test_bands_of_probabilities_hold_no_impossible_value():
    y = np.eye(4)[:, :2]  # one image of four at 1
    band, error = curve_band(np.arange(2.0), y), y.std(0, ddof=1) / 2
    assert (y.mean(0) - 1.96 * error < 0).all()  # a normal interval does
    assert (band.low >= 0).all()
    assert (band.high <= 1).all()
    clipped = curve_band(np.arange(2.0), 1 + 1e-15 * np.ones((2, 2))).within((0.0, 1.0))
    assert clipped.mean.max() == clipped.low.max() == clipped.high.max() == 1.0


def test_points_without_a_value_are_left_out():
    y = np.array([[0.5, np.nan, np.inf], [0.7, 0.2, np.nan], [0.3, np.nan, np.nan]])
    band = curve_band(np.arange(3.0), y)
    frame = pd.DataFrame(y).replace(np.inf, np.nan)
    np.testing.assert_array_equal(band.count, frame.count())
    np.testing.assert_allclose(band.mean, frame.mean())
    assert np.isnan(band.low).tolist() == np.isnan(band.high).tolist() == [False, True, True]


def test_the_area_under_a_mean_curve_is_the_mean_of_the_table(tmp_path: Path):
    camdbench.run("gradcam,centre,uniform", "insertion,deletion,ad", limit=3, out=tmp_path / "run")
    bands = curve_bands(load_pooled([tmp_path / "run"]), "curve")
    table = camdbench.summarise(tmp_path / "run").set_index(["model", "explainer", "metric"])["mean"].dropna()
    assert set(bands) == {key for key in table.index if key[2] != "ad"}  # uniform maps have no order, and no value
    for key, band in bands.items():
        assert 100 * np.trapezoid(band.mean, band.x) == pytest.approx(table[key], rel=1e-9)
    points = load_curves(tmp_path / "run").query("explainer == 'centre' and metric == 'deletion'").groupby("x")["value"].mean()
    own = bands["shortcuts-ce", "centre", "deletion"]
    np.testing.assert_array_equal(own.x, points.index)
    np.testing.assert_allclose(own.mean, points)
    assert len(curve_bands(load_pooled([tmp_path / "run"]), "curve", {"centre"})) == 2
    assert curve_bands(load_pooled([tmp_path / "run"]), "drop") == {}
