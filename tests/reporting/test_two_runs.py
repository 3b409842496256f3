"""A report of two runs that cannot be pooled: their tables, differences, images and settings, side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.core.switch_values import VALUE_MEANINGS
from camdbench.reporting.report_cards import merged_cards
from camdbench.reporting.report_runs import open_runs
from camdbench.reporting.two_runs import moved, two_runs
from camdbench.tables.load import load_run
from camdbench.tables.pool import load_pooled


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two networks on 4 and 3 images, and a run of the first whose cells are others."""
    home = tmp_path_factory.mktemp("runs")
    camdbench.run("gradcam,uniform", "ad,pointing", limit=4, save_maps="raw", out=home / "one")
    camdbench.run("gradcam,uniform,saliency", "ad,pointing", limit=3, models="shortcuts-so", save_maps="raw", out=home / "two")
    camdbench.run("hirescam", "ad,pointing", limit=4, save_maps="raw", out=home / "more")
    return home / "one", home / "two", home / "more"


def test_both_runs_are_on_the_page(runs: tuple[Path, Path, Path], tmp_path: Path):
    page = camdbench.report(*runs[:2], out=tmp_path / "page.html").file
    data = data_of(page)
    assert [(block["run"], block["model"]) for block in data["blocks"]] == [("A: one", "A: shortcuts-ce"), ("B: two", "B: shortcuts-so")]
    images = {image["id"]: image for image in data["images"]}
    assert [image["common"] for image in images.values()] == [True, True, True, False]
    for block, run in zip(data["blocks"], runs, strict=False):
        rows = camdbench.load_rows(run).set_index(["explainer", "metric", "image"])["value"]
        for m, metric in enumerate(block["metrics"]):
            for e, explainer in enumerate(block["explainers"]):
                own = [rows.get((explainer, metric["name"], image), np.nan) for image in images]
                found = [np.nan if value is None else value for value in block["values"][m][e]]
                np.testing.assert_allclose(found, own, rtol=5e-4)
    assert {model: set(maps) for model, maps in data["images"][0]["maps"].items()} == {
        "A: shortcuts-ce": {"gradcam", "uniform"},
        "B: shortcuts-so": {"gradcam", "uniform", "saliency"},
    }
    first, second = (data["images"][0]["maps"][model]["gradcam"] for model in ("A: shortcuts-ce", "B: shortcuts-so"))
    assert first != second
    assert set(data["images"][3]["maps"]) == {"A: shortcuts-ce"}
    assert {chart["model"] for chart in data["cost"]} == {"A: shortcuts-ce", "B: shortcuts-so"}
    text = page.read_text(encoding="utf-8")
    assert 'id="common"' in text
    assert "A has 4 images, B has 3 images; 3 are in both." in text


def test_differences_are_those_of_compare(runs: tuple[Path, Path, Path]):
    first, second = open_runs(runs[:2])
    pair = two_runs(first, second)
    compared = camdbench.compare(*runs[:2], across=True)
    found = {
        (table.title.partition(" ")[0], row[0].text): row for table in pair.cells for section in table.sections for row in section.rows
    }
    assert len(found) == len(compared) == 4
    keys = [column.key for column in pair.cells[0].columns]
    for line in compared.to_dict("records"):
        row = dict(zip(keys, found[line["metric"], line["a"].partition(" · ")[0]], strict=True))
        assert row["difference"].text == f"{line['difference']:z.2f}"
        assert row["interval"].text == f"[{line['ci_low']:z.2f}, {line['ci_high']:z.2f}]"
        assert row["better"].text == {"": "—", line["a"]: "A", line["b"]: "B"}[line["better"]]
    assert "shortcuts-ce (A), shortcuts-so (B)" in pair.cells[0].title
    [settings] = pair.settings
    rows = {(row[0].text, row[1].text): (row[2].text, row[3].text) for row in settings.sections[0].rows}
    assert rows["request", "limit"] == ("4", "3")
    hashes = [next(iter(load_run(run)["models"].values()))["weights_hash"] for run in runs[:2]]
    assert rows["shortcuts-ce / shortcuts-so", "weights_hash"] == tuple(hashes)


def test_images_move_by_standardised_differences(runs: tuple[Path, Path, Path]):
    first, second = (load_pooled([run]).cells for run in runs[:2])
    found = moved(first, second)
    rows = [camdbench.load_rows(run).set_index(["explainer", "metric", "image"])["value"].sort_index() for run in runs[:2]]
    for image in first.images:
        own = list[float]()
        for cell in [(explainer, metric) for explainer in ("gradcam", "uniform") for metric in ("ad", "pointing")]:
            both = np.concatenate([values[cell].to_numpy() for values in rows])
            pair = [values.get((*cell, image), np.nan) for values in rows]
            own.append(abs(pair[0] - pair[1]) / (np.nanstd(both) or 1))
        np.testing.assert_allclose(found[image], np.mean(own), rtol=1e-12)
    page = data_of(camdbench.report(*runs[:2], images=0, image_ids=["val-00000"], pictures=False, out=runs[0] / "few.html").file)
    assert page["images"][0]["moved"] == pytest.approx(found["val-00000"], rel=5e-4)
    page = data_of(camdbench.report(*runs[:2], pictures=False, out=runs[0] / "few.html").file)
    reasons = {image["id"]: image["why"] for image in page["images"]}
    assert {image for image, why in reasons.items() if "moved between runs" in why} == {name for name, size in found.items() if size > 0}
    assert all(len(set(why)) == len(why) for why in reasons.values())


def test_runs_that_can_be_pooled_are_one_and_others_at_most_two(runs: tuple[Path, Path, Path], tmp_path: Path):
    one, two, more = runs
    [block] = data_of(camdbench.report(one, more, out=tmp_path / "page.html").file)["blocks"]
    assert block["explainers"] == ["gradcam", "uniform", "hirescam"]
    assert 'id="pair"' not in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"one and two cannot be pooled: .*; a report shows runs .* or two others side by side$"):
        camdbench.report(one, more, two)
    with pytest.raises(UsageError, match="given twice"):
        camdbench.report(one, tmp_path / ".." / tmp_path.name / one)
    with pytest.raises(UsageError, match="no such folder"):
        camdbench.report(one, tmp_path / "none")


def test_images_of_other_data_are_others(runs: tuple[Path, Path, Path], tmp_path: Path):
    camdbench.run("gradcam", "ad", split="shifted", limit=1, save_maps="raw", out=tmp_path / "run")
    record = tmp_path / "run" / "run.json"
    name = json.loads(record.read_text(encoding="utf-8"))["ids"][0]
    page = camdbench.report(runs[0], tmp_path / "run", out=tmp_path / "page.html").file
    data = data_of(page)
    assert [image["id"] for image in data["images"]] == [*(f"A: val-{number:05d}" for number in range(4)), f"B: {name}"]
    assert all(image["input"] and not image["common"] and "moved" not in image for image in data["images"])
    assert data["images"][-1]["input"] != data["images"][0]["input"]
    assert "No cell is in both runs" in page.read_text(encoding="utf-8")


def test_cards_say_what_differs_and_what_switches_mean(runs: tuple[Path, Path, Path]):
    cards = merged_cards(open_runs(runs[:2]))
    assert [card.name for card in cards["Models"]] == ["A: shortcuts-ce", "B: shortcuts-so"]
    assert cards["Models"][0].facts["recipe: loss"] == "ce(smoothing=0.1)"
    assert [card.name for card in cards["Metrics"]] == ["ad", "pointing"]
    texts = cards["Metrics"][0].facts.values()
    assert f"pixels: {VALUE_MEANINGS['masking']['pixels']}" in texts
    assert cards["Metrics"][0].facts["formula"] == metrics.get("ad").facts.formula
    assert {"passes", "formula", "other implementations"} <= cards["Explainers"][0].facts.keys()
