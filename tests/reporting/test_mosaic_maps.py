"""Aggregated attributions of a run: shares are those of the metric, and doors of figures and of the report."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import camdbench
from camdbench.core.errors import UsageError
from camdbench.reporting.aggatt_figure import aggatt_figure, aggatt_of
from camdbench.reporting.figures import save_figures
from camdbench.reporting.mosaic_maps import aggregated_maps, mosaic_metric
from camdbench.reporting.report_mosaics import mosaic_pictures
from camdbench.reporting.report_runs import open_runs
from camdbench.tables.pool import load_pooled

NAMES = ("gradcam", "saliency")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 12 mosaics with raw maps."""
    folder = tmp_path_factory.mktemp("mosaics") / "run"
    how = {"dataset": "grid(shortcuts(size=32), confidence=0)", "target": "label", "save_maps": "raw"}
    camdbench.run(NAMES, "grid_pointing", limit=12, out=folder, **how)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_bins_are_means_of_the_grid_pointing_game(run: Path, name: str) -> None:
    found, missing = aggregated_maps(load_pooled([run]), "shortcuts-ce", NAMES)
    assert (set(found), missing) == (set(NAMES), "")
    rows = camdbench.load_rows(run)
    values = sorted(rows[rows["explainer"] == name]["value"].astype(float) / 100, reverse=True)
    own = found[name]
    assert (own.counts, own.cells, own.means.shape) == ((0, 0, 6, 5, 0, 1), 2, (6, 64, 64))
    for number, (start, stop) in {2: (0, 6), 3: (6, 11), 5: (11, 12)}.items():
        assert own.shares[number] == pytest.approx(sum(values[start:stop]) / (stop - start), abs=2e-3)  # maps are stored in half precision
        share = float(own.means[number][:32, :32].sum() / own.means[number].sum())
        assert own.means[number].min() >= 0
        assert 0 < share < 1
    if name == "gradcam":
        cells = [float(own.means[2][y : y + 32, x : x + 32].mean()) for y in (0, 32) for x in (0, 32)]
        assert cells[0] > 1.2 * max(cells[1:])


def test_figures_and_report_show_them(run: Path, tmp_path: Path) -> None:
    names = {path.name for path in save_figures(run, tmp_path / "out", pictures=False)}
    assert "1-shortcuts-ce-aggatt.png" in names
    page = camdbench.report(run, out=tmp_path / "report.html", images=1).file.read_text(encoding="utf-8")
    assert 'id="mosaics"' in page
    assert 'src="data:image/png;base64,' in page
    [shown] = mosaic_pictures(open_runs([run])[0])
    assert shown.picture
    assert shown.picture in page


def test_equal_explainers_are_drawn_once(run: Path) -> None:
    figure, missing = aggatt_of(load_pooled([run]), "shortcuts-ce", [("gradcam", "saliency")])
    assert missing == ""
    assert figure is not None
    assert len(figure.axes) == 7
    found, _ = aggregated_maps(load_pooled([run]), "shortcuts-ce", NAMES)
    both = aggatt_figure(found, "title")
    assert len(both.axes) == 14
    ends = (0, 2, 5, 50, 95, 98, 100)
    assert [place.get_title() for place in both.axes[1:7]] == [f"{low} to {high} %" for low, high in pairwise(ends)]
    assert {image.get_clim()[1] for place in both.axes[:7] for image in place.images} == {found["gradcam"].top}


def test_runs_without_mosaics_or_without_raw_maps_draw_none(tmp_path: Path) -> None:
    camdbench.run("gradcam", "ad", limit=2, out=tmp_path / "plain")
    plain = load_pooled([tmp_path / "plain"])
    assert mosaic_metric(plain) is None
    assert aggregated_maps(plain, "shortcuts-ce", ["gradcam"]) == ({}, "")
    assert mosaic_pictures(open_runs([tmp_path / "plain"])[0]) == []
    how = {"dataset": "grid(shortcuts(size=32), confidence=0)", "save_maps": "none"}
    camdbench.run("gradcam", "grid_pointing", limit=2, out=tmp_path / "none", **how)
    lines = list[str]()
    names = [path.name for path in save_figures(tmp_path / "none", tmp_path / "out", pictures=False, log=lines.append)]
    assert not any("aggatt" in name for name in names)
    assert lines == ["1-shortcuts-ce-aggatt.png: not drawn. Aggregated attributions need raw maps; repeat the run with --save-maps raw."]
    page = camdbench.report(tmp_path / "none", out=tmp_path / "report.html", images=0).file.read_text(encoding="utf-8")
    assert "Aggregated attributions need raw maps" in page


def test_a_data_set_that_is_gone_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise UsageError("no folder")

    monkeypatch.setattr("camdbench.reporting.mosaic_maps.open_images", gone)
    figure, missing = aggatt_of(load_pooled([run]), "shortcuts-ce", [("gradcam",)])
    assert figure is None
    assert missing == "Aggregated attributions need the data set, which cannot be opened (no folder); --data-root names its directory."
