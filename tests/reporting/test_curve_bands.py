"""Bands of mean curves are what pandas makes of all points at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from camdbench.reporting.curve_bands import CurveBand, curve_bands
from camdbench.tables.curve_lists import CurveBlock, to_table
from camdbench.tables.load import load_curves


def test_means_and_errors_are_those_of_all_points_at_once(tmp_path: Path):
    (tmp_path / "run.json").write_text(json.dumps({"schema": 3}))
    random, sixths = np.random.default_rng(0), np.arange(7) / 6
    for explainer in ("centre", "random"):
        for chunk in range(3):
            y = 1e6 + random.standard_normal((4, 7))
            y[0, 2], y[:, 6] = np.nan, np.nan
            x, images = (sixths, y) if chunk else (sixths[::3], y[:, ::3])  # images of another size
            blocks = [CurveBlock(metric, "curve", [f"i{chunk}{n}" for n in range(4)], x, images) for metric in ("deletion", "insertion")]
            blocks.append(CurveBlock("insertion", "other", ["i0"], sixths, y[:1]))
            file = tmp_path / "curves" / "model=net" / f"explainer={explainer}" / f"part-{chunk:05d}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(to_table(blocks), file)
    points = load_curves(tmp_path)
    points = points[points["curve"] == "curve"]
    found = curve_bands(tmp_path, "curve")
    assert len(found) == 4
    for (model, explainer, metric), own in points.groupby(["model", "explainer", "metric"]):
        by_x, band = own.groupby("x")["value"], found[model, explainer, metric]
        np.testing.assert_array_equal(band.x, by_x.mean().index)
        np.testing.assert_array_equal(band.count, by_x.count())
        np.testing.assert_allclose(band.mean, by_x.mean(), rtol=1e-14)
        np.testing.assert_allclose(band.error, by_x.std(ddof=1) / np.sqrt(by_x.count()), rtol=1e-8)
    assert np.isnan(band.mean[-1])  # no image has a value


def test_one_image_has_no_error_and_infinite_values_no_warning():
    band = CurveBand()
    band.add(np.array([0.0, 1.0]), np.array([[0.5, np.inf]]))
    assert band.mean.tolist() == [0.5, np.inf]
    assert np.isnan(band.error).all()
    band.add(np.array([0.0, 1.0]), np.array([[1.5, np.inf]]))
    assert band.mean[0] == 1.0
    assert pd.notna(band.error[0])
