"""Selectivity curves: the means of a run over the powers of its maps, and no curve where there is one power alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camdbench
from camdbench.reporting.figures import save_figures
from camdbench.reporting.selectivity import powers, selectivity
from camdbench.tables.summary_tables import SummaryGroup, summary_groups

NAMES = ("gradcam", "power(gradcam, alpha=0.1)", "power(gradcam, alpha=5.0)", "power(fakecam, alpha=2.0)", "power(random, alpha=2.0)")
SPECS = ", ".join([*NAMES, "power(random)"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selectivity") / "run"
    camdbench.run(SPECS, "ad,ag", limit=3, device="cpu", out=folder)
    return folder


@pytest.fixture(scope="module")
def group(run: Path) -> SummaryGroup:
    (found,) = summary_groups(camdbench.summarise(run))
    return found


def test_families_are_those_of_two_powers_or_more_in_ascending_order(group: SummaryGroup):
    found = {family[0].inner: [(one.alpha, one.name) for one in family] for family in powers(group)}
    assert found == {
        "gradcam": [(0.1, "power(gradcam, alpha=0.1)"), (1.0, "gradcam"), (5.0, "power(gradcam, alpha=5.0)")],
        "random": [(1.0, "power(random)"), (2.0, "power(random, alpha=2.0)")],
    }


def test_the_lines_are_the_means_of_the_run(run: Path, group: SummaryGroup):
    figure = selectivity(group, powers(group))
    rows = camdbench.load_rows(run)
    for place, metric in zip(figure.axes, ("ad", "ag"), strict=False):
        assert place.get_xscale() == "log"
        line = next(line for line in place.get_lines() if line.get_label() == "gradcam")
        means = rows[rows["metric"] == metric].groupby("explainer")["value"].mean()
        np.testing.assert_allclose(line.get_xdata(), [0.1, 1.0, 5.0])
        np.testing.assert_allclose(line.get_ydata(), means[["power(gradcam, alpha=0.1)", "gradcam", "power(gradcam, alpha=5.0)"]])


def test_the_file_is_there_and_not_empty(run: Path, tmp_path: Path):
    names = [path.name for path in save_figures(run, tmp_path)]
    assert "1-shortcuts-ce-selectivity.png" in names
    picture = np.asarray(Image.open(tmp_path / "1-shortcuts-ce-selectivity.png").convert("L"))
    assert (picture < 128).mean() > 0.002
