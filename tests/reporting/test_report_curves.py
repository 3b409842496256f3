"""Curves of a report against pandas on all points, and against the table: the area under a mean curve is the mean of the areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import camdbench
from camdbench.reporting.curve_axes import curve_axes
from camdbench.reporting.report_curves import POINTS, at_positions, curve_charts
from camdbench.tables.intervals import mean_intervals
from camdbench.tables.load import load_curves
from camdbench.tables.pool import Pooled, load_pooled

SHORT, LONG = "insertion(intervals=10)", "deletion"  # 11 and 43 points


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    out = tmp_path_factory.mktemp("curves") / "run"
    camdbench.run("gradcam,hirescam,uniform,random", f"{SHORT},{LONG},ad,road(percentages=(20,60))", limit=6, out=out)
    return load_pooled([out])


@pytest.fixture(scope="module")
def charts(pooled: Pooled) -> list[dict]:
    return curve_charts(pooled, camdbench.summarise(pooled.folders[0]))


def lines_of(charts: list[dict], metric: str, curve: str = "curve") -> tuple[np.ndarray, dict[str, dict]]:
    chart = next(own for own in charts if own["metric"].startswith(metric) and own["curve"] == curve)
    return np.array(chart["x"]), {name: line for line in chart["lines"] for name in line["names"]}


def points_of(run: Path, metric: str) -> pd.DataFrame:
    """Curves by explainer and image, from all points."""
    points = load_curves(run)
    points = points[points["metric"].str.startswith(metric) & (points["curve"] == "curve")]
    return points.pivot_table(index=["explainer", "image"], columns="x", values="value", observed=True)


def test_means_are_those_of_all_points_and_their_area_is_the_number_of_the_table(pooled: Pooled, charts: list[dict]):
    x, lines = lines_of(charts, "insertion")
    summary = camdbench.summarise(pooled.folders[0]).set_index(["metric", "explainer"])["mean"]
    for name, own in points_of(pooled.folders[0], "insertion").groupby("explainer", observed=True):
        if name == "uniform":  # a constant map gives no order
            continue
        np.testing.assert_allclose(lines[str(name)]["mean"], own.mean(), rtol=6e-4)
        area = 100 * np.trapezoid(lines[str(name)]["mean"], x)
        assert area == pytest.approx(summary[next(m for m in summary.index.levels[0] if m.startswith("insertion")), name], rel=6e-4)
    assert set(lines) == {"gradcam", "hirescam", "random"}
    assert next(own for own in charts if own["metric"].startswith("insertion"))["without"] == ["uniform"]


def test_long_curves_are_interpolated_image_by_image_with_the_bands_of_tables(pooled: Pooled, charts: list[dict]):
    x, lines = lines_of(charts, LONG)
    assert len(x) == POINTS
    for name, own in points_of(pooled.folders[0], LONG).drop("uniform", errors="ignore").groupby("explainer", observed=True):
        places = own.columns.to_numpy()
        at = np.linspace(places[0], places[-1], POINTS)
        rows = np.array([np.interp(at, places, image) for image in own.to_numpy()]).T
        line = lines[str(name)]
        np.testing.assert_allclose(line["mean"], rows.mean(1), rtol=6e-4)
        np.testing.assert_allclose(np.array([line["low"], line["high"]]).T, mean_intervals(rows), rtol=6e-4)
        assert (np.array(line["low"]) >= rows.min(1) * 0.999).all()
        assert (np.array(line["high"]) <= rows.max(1) * 1.001).all()
        assert line["n"] == 6


def test_equal_curves_are_one_line_that_names_both(charts: list[dict]):
    for chart in charts:
        names = [line["names"] for line in chart["lines"]]
        assert ["gradcam", "hirescam"] in names, chart["metric"]
        assert [line["control"] for line in chart["lines"]] == [own == ["random"] for own in names]
    assert [(own["metric"].partition("(")[0], own["curve"]) for own in charts] == [
        ("insertion", "curve"),
        ("deletion", "curve"),
        ("road", "lerf"),
        ("road", "morf"),
    ]


def test_curves_with_gaps_are_interpolated_over_their_own_points():
    x = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    y = np.array([[0, 1, 2, 3, 4], [0, np.nan, 4, np.nan, 0], [np.nan, 2, 4, np.nan, np.nan], [np.nan] * 5])
    found = at_positions(x, y, np.array([0.0, 0.25, 0.375, 1.0]))
    np.testing.assert_allclose(found, [[0, 1, 1.5, 4], [0, 2, 3, 0], [np.nan, 2, 3, np.nan], [np.nan] * 4])


def test_every_curve_of_the_package_has_labels(tmp_path: Path):
    metrics = "insertion,deletion,morf,lerf,road,road_morf,road_lerf,aopc,irof,boxacc,maxboxacc,maxboxaccv2,pxap,randomisation(layers=2)"
    camdbench.run("gradcam", f"{metrics},rfs,core,average_precision", limit=2, out=tmp_path / "run")
    pooled = load_pooled([tmp_path / "run"])
    drawn = curve_charts(pooled, camdbench.summarise(tmp_path / "run"))
    names = {own["metric"].partition("(")[0] for own in drawn}
    assert names == {name.partition("(")[0] for name in metrics.split(",")}
    assert not [own["metric"] for own in drawn if own["x_label"] == "position"]
    labels = {own["metric"]: (own["x_label"], own["y_label"]) for own in drawn}
    assert labels["road"] == ("fraction of pixels imputed", "class probability")
    accuracy = {"switches": {"scored_output": "accuracy"}}
    assert curve_axes("road", "morf", accuracy) == ("fraction of pixels imputed", "fraction of images with the class predicted")
    assert curve_axes("net.py:mine", "curve", {}) == ("position", "value")
    assert curve_axes("csdc", "score", {}) == ("threshold of importance, share of the map", "share of a sufficient set named (%)")
    assert curve_axes("csdc(protocol=release)", "valid", {}) is None  # a term of the choice of the threshold
    assert curve_axes("morf(patch=1)", "curve", {"options": {"patch": 1}}) == (
        "fraction of pixels replaced, most relevant first",
        "class probability",
    )
