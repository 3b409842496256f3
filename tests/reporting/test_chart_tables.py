"""Tables of charts in the page: they are there without scripts, and hold the numbers of the run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.each import each

import camdbench
from camdbench.reporting.page_numbers import short_number
from camdbench.tables.mean_ranks import rank


class Tables(HTMLParser):
    """Collects the numbers of the tables inside `details`, by section, title and name of the row."""

    def __init__(self) -> None:
        super().__init__()
        self.found = dict[tuple[str, str, str], list[float]]()
        self.hidden = set[str]()
        self._section, self._inside, self._title, self._row, self._tag = "", False, "", None, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts, self._tag = dict(attrs), tag
        if tag == "section":
            self._section = facts["id"] or ""
            self.hidden |= {self._section} if "script" in (facts.get("class") or "") else set()
        self._inside = self._inside or (tag == "details" and facts.get("class") == "numbers")
        self._row = "" if tag == "th" and facts.get("scope") == "row" else self._row
        if tag == "td" and self._inside:
            self.found[self._section, self._title, str(self._row)].append(float(facts["data-value"] or "nan"))

    def handle_data(self, data: str) -> None:
        if self._inside and self._tag == "h3" and data.strip():
            self._title = data
        if self._inside and self._row == "" and data.strip():
            self._row = data
            self.found[self._section, self._title, data] = []

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "details"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables") / "run"
    camdbench.run("gradcam,saliency,uniform", "ad,ag,insertion(intervals=10)", limit=5, out=out)
    camdbench.report(out)
    return out


def test_tables_hold_the_numbers_of_the_run(run: Path):
    reader = Tables()
    reader.feed((run / "report.html").read_text(encoding="utf-8"))
    assert {section for section, *_ in reader.found} == {"distributions", "ranks", "cost", "curves"}
    assert not reader.hidden & {"distributions", "ranks", "cost", "curves"}
    rows, summary = camdbench.load_rows(run), camdbench.summarise(run)
    for (metric, explainer), own in rows.groupby(["metric", "explainer"], sort=False):
        values = own["value"].dropna()
        [title] = {title for section, title, _ in reader.found if section == "distributions" and title.startswith(str(metric))}
        expected = [values.mean(), *np.quantile(values, [0, 0.25, 0.5, 0.75, 1])] if len(values) else [np.nan] * 6
        np.testing.assert_allclose(reader.found["distributions", title, str(explainer)], [len(values), *expected], rtol=6e-4)
    ranks = rank(run).pivot_table(index="explainer", columns="metric", values="rank", sort=False)
    for explainer, own in ranks.iterrows():
        np.testing.assert_allclose(reader.found["ranks", "mean ranks · shortcuts-ce", str(explainer)], own, atol=6e-4)
    cells = summary.pivot_table(index="explainer", columns="metric", values="mean", sort=False)
    for explainer, own in cells.iterrows():
        found = reader.found["cost", "cost and means · shortcuts-ce", str(explainer)]
        usage = summary[summary["explainer"] == explainer][["passes_per_image", "seconds_per_image"]].iloc[0]
        np.testing.assert_allclose(found, [*usage, *own], rtol=6e-4)
    curves = {name: numbers for (section, _, name), numbers in reader.found.items() if section == "curves"}
    assert {name: len(numbers) for name, numbers in curves.items()} == {"gradcam": 6, "saliency": 6}


def test_charts_hold_no_number_that_is_none(run: Path):
    text = (run / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None

    def refuse(name: str) -> float:
        raise AssertionError(name)

    data = json.loads(found[1], parse_constant=refuse)
    [curve] = data["curves"]
    assert curve["without"] == ["uniform"]
    assert [own["explainer"] for own in data["cost"] if own["metric"].startswith("insertion")] == ["gradcam", "saliency"]


@each("value", [0.0, -3.14159265, 1e-12, 123456789.0, float("nan"), float("inf"), -float("inf")])
def test_numbers_have_four_digits_and_only_finite_ones_are_written(value: float):
    found = short_number(value)
    assert (found is None) == (not np.isfinite(value))
    if found is not None:
        assert found == pytest.approx(value, rel=5e-4)
        assert len(f"{found:.15e}".partition("e")[0].strip("-").replace(".", "").rstrip("0")) <= 4
