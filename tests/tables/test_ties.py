"""Explainers are tied only when they agree on every image, in values that mean something."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camdbench.tables.cell_values import cells_of
from camdbench.tables.ties import tie_groups, tie_labels, tie_tolerance

UNITS = {"ad": "%", "ag": "%", "ai": "%"}
NAN = (float("nan"), "error")
BASE = {"ad": [12.5, 0.0, 40.0], "ag": [0.0, 30.0, 0.0], "ai": [0.0, 100.0, 0.0]}


@pytest.fixture
def labels(make_rows):
    def of(values, units=UNITS, **options):
        cells = cells_of(make_rows(values))
        found = tie_labels(cells, units, **options)
        by_explainer = dict(zip(cells.keys["explainer"], found, strict=True))
        assert [by_explainer[name] for name in cells.keys["explainer"]] == found  # all cells of an explainer share its label
        return by_explainer

    return of


def changed(metric: str, image: int, value) -> dict:
    return {name: [value if (name, index) == (metric, image) else item for index, item in enumerate(items)] for name, items in BASE.items()}


def test_equal_values_are_tied_and_others_not(labels):
    found = labels({"gradcam": BASE, "opticam": changed("ad", 2, 35.0), "hirescam": BASE})
    assert found == {"gradcam": "a", "opticam": "", "hirescam": "a"}


@pytest.mark.parametrize(("value", "label"), [(12.509, "a"), (12.491, "a"), (12.511, ""), (12.489, "")])
def test_a_hundredth_of_a_per_cent_is_rounding_and_more_is_not(labels, value: float, label: str):
    assert labels({"gradcam": BASE, "hirescam": changed("ad", 0, value)})["hirescam"] == label


def test_the_tolerance_is_a_share_of_the_scale(labels):
    values = {"a": {"ssim": [0.5, 0.25]}, "b": {"ssim": [0.5, 0.2502]}}
    assert labels(values, {"ssim": ""})["b"] == ""
    assert labels(values, {"ssim": ""}, tolerance=1e-3)["b"] == "a"
    assert labels(values, {"ssim": "%"})["b"] == "a"


def test_one_image_that_flips_parts_them(labels):
    assert labels({"gradcam": BASE, "hirescam": changed("ai", 0, 100.0)}) == {"gradcam": "", "hirescam": ""}


def test_zeros_and_hundreds_alone_prove_nothing(labels):
    only = {"ai": [0.0, 100.0, 100.0], "ad": [0.0, 0.0, 100.0]}
    assert labels({"gradcam": only, "opticam": only}) == {"gradcam": "", "opticam": ""}
    assert labels({"gradcam": only | {"ag": [0.0, 7.0, 0.0]}, "opticam": only | {"ag": [0.0, 7.0, 0.0]}})["opticam"] == "a"


def test_failures_must_be_the_same_too(labels):
    assert labels({"gradcam": changed("ag", 1, NAN), "hirescam": changed("ag", 1, NAN)})["hirescam"] == "a"
    assert labels({"gradcam": BASE, "hirescam": changed("ag", 1, NAN)})["hirescam"] == ""
    assert labels({"gradcam": changed("ag", 1, NAN), "hirescam": BASE})["hirescam"] == ""
    nothing = {"ad": [NAN, NAN]}
    assert labels({"one": nothing, "other": nothing}) == {"one": "", "other": ""}


def test_other_metrics_are_no_tie(labels):
    assert labels({"gradcam": BASE, "hirescam": {"ad": BASE["ad"]}}) == {"gradcam": "", "hirescam": ""}


def test_groups_are_lettered_in_the_order_of_the_table(labels):
    other = changed("ad", 0, 90.0)
    found = labels({"a1": BASE, "single": changed("ad", 0, 50.0), "b1": other, "a2": BASE, "b2": other, "a3": BASE})
    assert found == {"a1": "a", "single": "", "b1": "b", "a2": "a", "b2": "b", "a3": "a"}


def test_members_are_held_against_the_first_so_that_ties_do_not_drift(labels):
    steps = {f"e{step}": changed("ad", 0, 12.5 + 0.008 * step) for step in range(4)}
    assert labels(steps) == {"e0": "a", "e1": "a", "e2": "b", "e3": "b"}


def test_models_are_told_apart(make_rows):
    gap, dense = (
        make_rows({"gradcam": BASE, "hirescam": BASE}, "gap"),
        make_rows({"gradcam": BASE, "hirescam": changed("ad", 0, 1.0)}, "dense"),
    )
    cells = cells_of(pd.concat([gap, dense]))
    tied = dict(zip(zip(cells.keys["model"], cells.keys["explainer"], strict=True), tie_labels(cells, UNITS), strict=True))
    assert {key for key, label in tied.items() if label} == {("gap", "gradcam"), ("gap", "hirescam")}


def test_agreement_with_a_comparison_image_by_image(labels):
    rng = np.random.default_rng(3)
    for _ in range(30):
        tables = {f"e{name}": {"ad": rng.choice([0.0, 10.0, 10.005, 10.02], size=2).tolist()} for name in range(2)}
        first, other = tables["e0"]["ad"], tables["e1"]["ad"]
        close = all(abs(x - y) <= 0.01 for x, y in zip(first, other, strict=True))
        assert labels(tables)["e1"] == ("a" if close and any(first) else ""), tables


def test_groups_are_those_of_rounded_values_if_noise_is_smaller_than_the_tolerance_and_levels_lie_further_apart():
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 9, (6, 200)) / 10
    noisy = levels + rng.uniform(-4e-5, 4e-5, levels.shape)
    groups = tie_groups(noisy, 1e-4)
    np.testing.assert_array_equal(stats.rankdata(groups, axis=0), stats.rankdata(noisy.round(1), axis=0))
    order = rng.permutation(6)
    np.testing.assert_array_equal(tie_groups(noisy[order], 1e-4), groups[order])
    np.testing.assert_array_equal(groups.max(0) - groups, tie_groups(-noisy, 1e-4))


def test_two_values_within_the_tolerance_share_a_group_whatever_lies_between_or_beside_them():
    column = np.array([[0.0], [0.00009], [0.00018], [0.00029], [0.5]])
    assert tie_groups(column, 1e-4)[:, 0].tolist() == [0, 0, 0, 1, 2]
    assert tie_groups(column[:1], 1e-4).tolist() == [[0]]


def test_small_values_of_an_unbounded_metric_are_no_ties():
    tolerance = tie_tolerance("", np.array([1e-6, 3e-6, np.nan]))
    assert tie_groups(np.array([[1e-6], [3e-6], [3e-6 + 1e-11]]), tolerance)[:, 0].tolist() == [0, 1, 1]
    assert tie_tolerance("", np.array([np.nan])) == tie_tolerance("", np.array([])) == 0
