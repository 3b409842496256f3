"""Tied explainers are drawn once, and axes have the ranges and quantities of their metrics."""

from __future__ import annotations

import math

from helpers.each import each
from helpers.made_groups import made_group

from camdbench.reporting.chart_facts import Drawn, curve_axis, drawn, range_of


def test_tied_explainers_share_a_row_and_controls_come_last():
    values = {"fakecam": [1.0, 2.0], "gradcam": [3.0, 4.0], "opticam": [5.0, 6.0], "hirescam": [3.0, 4.0], "random": [1.0, 2.0]}
    rows = drawn(made_group({"ad": values}))
    assert rows == [
        Drawn(("gradcam", "hirescam"), control=False),
        Drawn(("opticam",), control=False),
        Drawn(("fakecam", "random"), control=True),
    ]
    assert [row.label for row in rows] == ["gradcam = hirescam", "opticam", "fakecam = random"]


def test_an_explainer_tied_with_a_control_is_no_control():
    assert drawn(made_group({"ad": {"random": [1.0, 2.0], "gradcam": [1.0, 2.0]}})) == [Drawn(("random", "gradcam"), control=False)]


def test_a_row_has_the_first_cell_that_is_finished():
    group = made_group({"ad": {"gradcam": [3.0, 4.0]}})
    (column,) = group.columns
    cell = Drawn(("hirescam", "gradcam"), control=False).cell(group, column)
    assert cell is not None
    assert cell["mean"] == 3.5
    assert Drawn(("hirescam",), control=False).cell(group, column) is None


@each(
    ("metric", "ends"),
    [
        ("ad", (0, 100)),
        ("pointing", (0, 100)),
        ("insertion(step=8)", (0, 100)),
        ("coherency", (0, 100)),
        ("adcc", (0, 100)),
        ("unknown", (-math.inf, math.inf)),
        ("not a spec(", (-math.inf, math.inf)),
    ],
)
def test_ranges_are_those_that_metrics_state(metric: str, ends: tuple[float, float]):
    assert range_of(metric) == ends


@each(
    ("metric", "unit", "read", "label", "ends"),
    [
        ("insertion", "%", "probability", "class probability", (0, 1)),
        ("road_morf", "%", "accuracy", "accuracy", (0, 1)),
        ("quantus:Selectivity", "", "probability", "class probability", (0, 1)),
        ("quantus:RegionPerturbation", "", "probability", "drop of class probability", (-1, 1)),
        ("road_morf", "%", "logit", "logit", (-math.inf, math.inf)),
        ("unknown", "%", None, "score", (-math.inf, math.inf)),
    ],
)
def test_curves_show_what_the_protocol_reads(metric: str, unit: str, read: str | None, label: str, ends: tuple[float, float]):
    about = {"metrics": {metric: {"switches": {"scored_output": read}}}}
    assert curve_axis(metric, unit, about) == (label, ends)
