"""Charts of values show the summary: each explainer once, controls hollow, axes no wider than what is possible."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_groups import made_cells, made_group

from camdbench.reporting.curve_bands import CurveBand, curve_band
from camdbench.reporting.palette import CONTROL, FAINT, SERIES
from camdbench.reporting.value_charts import bars, boxes, curves

AD = {"gradcam": [99.0, 100.0, 98.0], "hirescam": [99.0, 100.0, 98.0], "opticam": [1.0, 2.0, 6.0], "random": [50.0, 40.0, 45.0]}
INSERTION = {name: [10.0, 20.0, 30.0 + place // 2] for place, name in enumerate(AD)}
VALUES = {"ad": AD, "insertion": {**INSERTION, "opticam": [float("nan")] * 3}}
ABOUT = {"metrics": {"insertion": {"switches": {"scored_output": "probability"}}}}


def test_bars_are_means_with_their_intervals():
    group = made_group(VALUES)
    ad, insertion = bars(group).axes[:2]
    assert [text.get_text() for text in ad.get_yticklabels()] == ["gradcam = hirescam", "opticam", "random"]
    assert [bar.get_width() for bar in ad.patches] == pytest.approx([99.0, 3.0, 45.0])
    ends = [segment[:, 0].tolist() for segment in ad.collections[0].get_segments()]
    cells = [group.cells[name, group.columns[0]] for name in ("gradcam", "opticam", "random")]
    assert ends == [pytest.approx([cell["ci_low"], cell["ci_high"]]) for cell in cells]
    assert ad.get_xlabel() == "mean (%)"
    assert ad.get_xlim()[1] < 103  # no mean of AD exceeds 100
    assert [text.get_text() for text in insertion.texts] == ["no value"]
    from matplotlib.colors import same_color

    assert same_color(ad.patches[2].get_facecolor(), "white")
    assert same_color(ad.patches[2].get_edgecolor(), CONTROL)
    assert same_color(ad.patches[0].get_facecolor(), SERIES[0])


def test_boxes_have_the_quartiles_of_the_images():
    place = boxes(made_group(VALUES), made_cells(VALUES)).axes[0]
    medians = [line.get_xdata()[0] for line in place.get_lines() if line.get_color() == "black" and len(set(line.get_xdata())) == 1]
    assert sorted(medians) == pytest.approx(sorted(float(np.median(AD[name])) for name in ("gradcam", "opticam", "random")))


def band(name: str) -> CurveBand:
    return curve_band(np.linspace(0, 1, 5), np.random.default_rng(len(name)).uniform(0.9, 1, (3, 5)))


def test_curves_of_probabilities_end_at_one_and_tied_ones_are_drawn_once():
    figure = curves(made_group(VALUES), {(name, "insertion"): band(name) for name in AD}, ABOUT)
    (place,) = figure.axes
    assert [line.get_label() for line in place.get_lines()] == ["gradcam = hirescam", "opticam", "random"]
    np.testing.assert_array_equal(place.get_lines()[1].get_ydata(), band("opticam").mean)
    assert 1 <= place.get_ylim()[1] < 1.01
    assert (place.get_xlabel(), place.get_ylabel()) == ("fraction of pixels or patches", "class probability")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["gradcam = hirescam", "opticam", "random"]


def test_many_explainers_are_drawn_seven_at_a_time():
    names = [f'opticam(iterations={place}, objective="diff", lr=0.{place:03d})' for place in range(1, 20)] + ["random"]
    values = {name: [float(place), 2.0 * place, 50.0] for place, name in enumerate(names)}
    figure = curves(made_group({"insertion": values}), {(name, "insertion"): band(name) for name in names}, ABOUT)
    shown = [[line for line in place.get_lines() if line.get_color() != FAINT] for place in figure.axes if place.axison]
    assert [len(lines) for lines in shown] == [7, 7, 6]
    assert all(len({line.get_color() for line in lines}) == len(lines) for lines in shown)
    assert all(len(place.get_lines()) == 20 for place in figure.axes if place.axison)
    figure.canvas.draw()
    inside = figure.bbox
    texts = [text for place in figure.axes if place.get_legend() for text in place.get_legend().get_texts()]
    assert len(texts) == 20
    assert all(inside.x0 <= text.get_window_extent().x0 and text.get_window_extent().x1 <= inside.x1 for text in texts)
