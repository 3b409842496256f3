"""Charts of swept options: the means and intervals of the table at the values of the option."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_groups import made_group

from camdbench.reporting.palette import CONTROL
from camdbench.reporting.sweep_charts import file_stem, sweep_chart
from camdbench.reporting.swept_options import swept
from camdbench.tables.summary_tables import SummaryGroup


def group_of(*specs: str) -> SummaryGroup:
    random = np.random.default_rng(1)
    return made_group({metric: {name: random.uniform(10, 90, 5).tolist() for name in specs} for metric in ("ad", "ag")})


def test_lines_are_the_means_of_the_table_on_an_axis_of_the_values():
    specs = [*(f"opticam(iterations={n})" for n in (300, 2, 20)), "random", "power(random, alpha=2.0)"]
    group = group_of(*specs)
    found = {f"{one.name}.{one.option}": sweep_chart(group, one) for one in swept(specs)}
    for place, column in zip(found["opticam.iterations"].axes, group.columns, strict=True):
        (line,) = place.get_lines()
        assert place.get_xscale() == "log"
        assert place.get_xlabel() == "iterations of opticam"
        assert place.get_ylabel() == "mean (%)"
        assert line.get_xdata().tolist() == [2, 20, 300]
        cells = [group.cells[f"opticam(iterations={n})", column] for n in (2, 20, 300)]
        assert line.get_ydata() == pytest.approx([cell["mean"] for cell in cells])
        corners = place.collections[0].get_paths()[0].vertices
        for n, cell in zip((2, 20, 300), cells, strict=True):
            own = corners[corners[:, 0] == n, 1]
            assert (own.min(), own.max()) == pytest.approx((cell["ci_low"], cell["ci_high"]))
    (line,) = found["power.alpha"].axes[0].get_lines()
    assert line.get_color() == CONTROL
    assert line.get_markerfacecolor() == "white"


def test_powers_are_the_selectivity_of_the_paper_and_tied_lines_are_one():
    random = np.random.default_rng(1)
    values = {alpha: random.uniform(10, 90, 5).tolist() for alpha in (0.5, 2.0)}
    specs = {f"power({name}, alpha={alpha})": values[alpha] for alpha in values for name in ("gradcam", "hirescam")}
    (option,) = swept(list(specs))
    figure = sweep_chart(made_group({"ad": specs}), option)
    assert file_stem(option) == "selectivity"
    assert figure.axes[0].get_xlabel() == "power α of the map: more ← 1 → less"
    assert figure.axes[0].get_xscale() == "log"
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["gradcam = hirescam"]


def test_categories_are_bars():
    specs = ('contrastivecam(versus="mean")', 'contrastivecam(versus="runner_up")')
    group = group_of(*specs)
    (option,) = swept(specs)
    assert file_stem(option) == "sweep-contrastivecam-versus"
    figure = sweep_chart(group, option)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["mean", "runner_up"]
    for place, column in zip(figure.axes, group.columns, strict=True):
        assert [bar.get_width() for bar in place.patches] == pytest.approx([group.cells[name, column]["mean"] for name in specs])
