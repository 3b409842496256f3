"""The summary against values by hand and against a slow reading row by row."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.core.row import Row
from camdbench.tables.load import CURVE_COLUMNS, USAGE_COLUMNS, load_rows, load_run, load_usage
from camdbench.tables.summary import SUMMARY_COLUMNS, summarise, write_summary

NAN = float("nan")
VALUES = {
    "gradcam": {"ad": [10.0, 20.0, (60.0, "constant_map"), (NAN, "error")], "ai": [0.0, 100.0, 0.0, (NAN, "error")]},
    "fakecam": {"ad": [0.0, 0.0, 0.0, 0.0], "ai": [(NAN, "not_applicable")] * 4},
}
COSTS = {
    "gradcam": [
        dict(zip(USAGE_COLUMNS, line, strict=True))
        for line in (
            ("trace", 3, 3, 0, 0, 3, 1.5, 1.0),
            ("trace", 1, 1, 0, 0, 1, 0.5, 1.0),
            ("explain", 3, 30, 15, 3, 0, 3.0, 1.0),
            ("explain", 1, 10, 5, 1, 0, 1.0, 1.0),
            ("metrics", 4, 99, 0, 0, 0, 9.0, 1.0),
        )
    ]
}


def by_cell(summary: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    return {(line["explainer"], line["metric"]): line for _, line in summary.iterrows()}


def test_means_counts_and_facts_by_hand(make_run):
    summary = summarise(make_run(VALUES, costs=COSTS))
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    assert list(zip(summary["explainer"], summary["metric"], strict=True)) == [
        ("gradcam", "ad"),
        ("gradcam", "ai"),
        ("fakecam", "ad"),
        ("fakecam", "ai"),
    ]
    cell = by_cell(summary)["gradcam", "ad"]
    assert (cell["mean"], cell["n"], cell["n_failed"], cell["n_constant"]) == (30.0, 3, 1, 1)
    assert cell[["dataset", "split", "model", "protocol", "target_rule"]].tolist() == ["shapes", "val", "net", "opticam", "label"]
    assert (cell["higher_is_better"], cell["unit"], cell["is_control"], cell["tie_group"]) == (False, "%", False, "")
    assert cell["ci_low"] == 10.0  # with probability 1/27 each, all three draws are the least or the greatest: over 2.5 %
    assert cell["ci_high"] == 60.0
    cell = by_cell(summary)["gradcam", "ai"]
    assert cell["mean"] == pytest.approx(100 / 3)
    assert (cell["n"], cell["higher_is_better"]) == (3, True)


def test_a_constant_cell_has_its_value_as_interval_and_an_empty_one_nothing(make_run):
    cells = by_cell(summarise(make_run(VALUES)))
    assert cells["fakecam", "ad"][["mean", "ci_low", "ci_high"]].tolist() == [0.0, 0.0, 0.0]
    assert cells["fakecam", "ad"]["is_control"]
    empty = cells["fakecam", "ai"]
    assert (empty["n"], empty["n_failed"], empty["n_not_applicable"], empty["n_constant"]) == (0, 0, 4, 0)
    assert all(math.isnan(empty[name]) for name in ("mean", "ci_low", "ci_high"))


def test_a_single_image_has_a_mean_but_no_interval(make_run):
    cell = summarise(make_run({"gradcam": {"ad": [12.5]}})).iloc[0]
    assert (cell["mean"], cell["n"]) == (12.5, 1)
    assert math.isnan(cell["ci_low"])
    assert math.isnan(cell["ci_high"])


def test_costs_are_those_of_the_explainer_alone_per_image(make_run):
    cells = by_cell(summarise(make_run(VALUES, costs=COSTS)))
    assert cells["gradcam", "ad"]["passes_per_image"] == 2 + 16  # trace: one forward, one tail backward; own: 10 + 5 + 1
    assert cells["gradcam", "ai"]["passes_per_image"] == 2 + 16
    assert cells["gradcam", "ad"]["seconds_per_image"] == pytest.approx(0.5 + 1.0)
    assert math.isnan(cells["fakecam", "ad"]["passes_per_image"])
    assert math.isnan(by_cell(summarise(make_run(VALUES, name="cheap")))["gradcam", "ad"]["passes_per_image"])


def test_a_stage_without_images_costs_nothing(make_run):
    nothing = dict(zip(USAGE_COLUMNS, ("trace", 0, 0, 0, 0, 0, 0.0, 1.0), strict=True))
    own = dict(zip(USAGE_COLUMNS, ("explain", 2, 4, 0, 0, 0, 1.0, 1.0), strict=True))
    costs = {"gradcam": [nothing, own]}
    cell = summarise(make_run({"gradcam": {"ad": [1.0, 2.0]}}, costs=costs)).iloc[0]
    assert (cell["passes_per_image"], cell["seconds_per_image"]) == (2.0, 0.5)


def test_explainers_that_agree_are_marked(make_run):
    same = {"ad": [10.0, 20.0]}
    summary = summarise(make_run({"gradcam": same, "opticam": {"ad": [1.0, 2.0]}, "hirescam": same}))
    assert list(summary["tie_group"]) == ["a", "", "a"]


def test_rows_in_memory_give_the_same_as_the_folder(make_run):
    folder = make_run(VALUES, costs=COSTS)
    from_memory = summarise(load_rows(folder), about=load_run(folder), usage=load_usage(folder))
    pd.testing.assert_frame_equal(from_memory, summarise(folder))


def test_the_order_of_rows_decides_nothing_but_the_order_of_cells(make_run):
    rows = load_rows(make_run({"gradcam": {"ad": [3.0, 1.0, 8.0, 5.0]}, "opticam": {"ad": [2.0, 7.0, 1.0, 9.0]}}))
    mixed = summarise(rows.sample(frac=1, random_state=1)).sort_values("explainer", ignore_index=True)
    pd.testing.assert_frame_equal(mixed, summarise(rows))


def test_rows_without_their_run_take_the_facts_from_the_registries(make_rows):
    summary = summarise(make_rows({"fakecam": {"ad": [1.0, 2.0]}, "gradcam(relu=False)": {"ad": [1.0, 2.0]}, "mine": {"ad": [3.0, 4.0]}}))
    assert list(summary["is_control"]) == [True, False, False]
    assert list(summary["higher_is_better"]) == [False] * 3
    assert list(summary["unit"]) == ["%"] * 3
    with pytest.raises(UsageError, match="no metric 'nosuch'"):
        summarise(make_rows({"fakecam": {"nosuch": [1.0]}}))


def test_what_the_run_recorded_goes_before_the_registries(make_rows):
    about = {"metrics": {"ad": {"higher_is_better": True, "unit": "dB"}}, "explainers": {"gradcam": {"control": True}}}
    cell = summarise(make_rows({"gradcam": {"ad": [1.0, 2.0]}}), about=about).iloc[0]
    assert (cell["higher_is_better"], cell["unit"], cell["is_control"]) == (True, "dB", True)


def test_two_runs_at_once_are_refused(make_rows):
    rows = make_rows({"gradcam": {"ad": [1.0]}})
    with pytest.raises(UsageError, match="one run at a time"):
        summarise(pd.concat([rows, rows.assign(run="other")]))
    with pytest.raises(UsageError, match="no column split, target_rule"):
        summarise(rows.drop(columns=["split", "target_rule"]))
    assert list(summarise(pd.concat([rows, rows.assign(split="other")]))["n"]) == [1, 1]


STATUS = st.sampled_from(["ok", "ok", "constant_map", "undefined", "error", "not_applicable"])
NUMBER = st.one_of(st.floats(-200, 200), st.sampled_from([NAN, math.inf, -math.inf, 0.0, 100.0]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_a_slow_reading(data: st.DataObject):
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 6)))
    lines = list[Row]()
    for explainer, metric, image in np.ndindex(*shape):
        names = (f"e{explainer}", ("ad", "ag")[metric])
        status, value = data.draw(STATUS), data.draw(NUMBER)
        lines.append(Row("run", "shapes", "val", f"i{image}", 0, "net", names[0], "label", 0, names[1], "p", "00c0ffee", value, status, ""))
    summary = summarise(pd.DataFrame(data.draw(st.permutations(lines)), columns=list(Row._fields)))
    assert len(summary) == shape[0] * shape[1]
    for _, cell in summary.iterrows():
        own = [line for line in lines if (line.explainer, line.metric) == (cell["explainer"], cell["metric"])]
        kept = [line for line in own if line.status in ("ok", "constant_map") and math.isfinite(line.value)]
        undefined, elsewhere = (sum(line.status == status for line in own) for status in ("undefined", "not_applicable"))
        assert (cell["n"], cell["n_undefined"], cell["n_not_applicable"]) == (len(kept), undefined, elsewhere)
        assert cell["n_failed"] == len(own) - len(kept) - undefined - elsewhere
        assert cell["n_constant"] == sum(line.status == "constant_map" for line in kept)
        if kept:
            assert cell["mean"] == pytest.approx(math.fsum(line.value for line in kept) / len(kept), rel=1e-9, abs=1e-9)
        else:
            assert math.isnan(cell["mean"])
        if len(kept) > 1:
            least, most = min(line.value for line in kept), max(line.value for line in kept)
            assert least - 1e-9 <= cell["ci_low"] <= cell["mean"] + 1e-9
            assert cell["mean"] - 1e-9 <= cell["ci_high"] <= most + 1e-9


def test_the_summary_is_written_beside_the_rows(make_run):
    folder = make_run(VALUES, costs=COSTS)
    before = set(folder.rglob("*"))
    summary = write_summary(folder)
    pd.testing.assert_frame_equal(summary, summarise(folder))
    assert {path.name for path in set(folder.rglob("*")) - before} == {"summary.csv", "summary.md", "summary.tex"}
    read = pd.read_csv(folder / "summary.csv", keep_default_na=False, na_values={name: [""] for name in ("mean", "ci_low", "ci_high")})
    assert list(read.columns) == list(SUMMARY_COLUMNS)
    assert read["mean"].tolist() == pytest.approx(summary["mean"].tolist(), rel=1e-9, nan_ok=True)
    assert "gradcam" in (folder / "summary.md").read_text(encoding="utf-8")
    assert r"\begin{tabular}" in (folder / "summary.tex").read_text(encoding="utf-8")
    write_summary(folder, summary.iloc[:1])
    assert (folder / "summary.csv").read_text().count("\n") == 2


def test_no_table_needs_torch_and_importing_them_no_heavy_library(make_run):
    folder = make_run(VALUES)
    program = f"""
import sys
import camdbench.tables.golden, camdbench.tables.load, camdbench.tables.render, camdbench.tables.summary
from camdbench.tables.summary_tables import summary_tables
heavy = {{"torch", "scipy", "matplotlib", "rich"}} & set(sys.modules)
assert not heavy, heavy
from rich.console import Console
Console().print(camdbench.tables.render.to_console(summary_tables(camdbench.tables.summary.write_summary({str(folder)!r}))))
camdbench.tables.golden.write_golden({str(folder)!r}, {str(folder / "golden.csv")!r})
assert camdbench.tables.golden.check({str(folder)!r}, {str(folder / "golden.csv")!r}).ok
assert not {{"torch", "scipy.stats"}} & set(sys.modules)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)


def some_hits() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of two explainers on forty images, and whether each hits at three thresholds; none hits at a threshold of its own."""
    rows, points = list[Row](), list[tuple[str, str, str, str, str, float, float]]()
    random = np.random.default_rng(0)
    for explainer, share in (("gradcam", (0.2, 0.8, 0.5)), ("opticam", (0.6, 0.5, 0.1))):
        for image in range(40):
            hits = 100.0 * (random.random(3) < share)
            rows.append(Row("r", "d", "val", f"i{image}", 0, "net", explainer, "label", 0, "boxes", "p", "00c0ffee", hits.mean(), "ok", ""))
            points += [("net", explainer, f"i{image}", "boxes", "hits", x, y) for x, y in zip((0.1, 0.5, 0.9), hits, strict=True)]
    return pd.DataFrame(rows, columns=list(Row._fields)), pd.DataFrame(points, columns=list(CURVE_COLUMNS)).sample(frac=1, random_state=1)


def test_a_maximum_over_thresholds_is_taken_of_the_means_and_not_image_by_image():
    rows, points = some_hits()
    about = {"metrics": {"boxes": {"switches": {"reduction": "maximum over thresholds"}, "unit": "%", "higher_is_better": True}}}
    summary = summarise(rows, about=about, curves=points).set_index("explainer")
    for explainer, own in points.groupby("explainer"):
        cell, best = summary.loc[explainer], own.groupby("x")["value"].mean().max()
        assert cell["mean"] == pytest.approx(best)
        assert cell["mean"] < own.groupby("image")["value"].max().mean()
        assert cell["ci_low"] < best < cell["ci_high"]
        assert cell["n"] == 40


def test_the_interval_goes_through_the_reduction():
    rows, points = some_hits()
    about = {"metrics": {"boxes": {"switches": {"reduction": "maximum over thresholds"}, "unit": "%", "higher_is_better": True}}}
    found = summarise(rows, about=about, curves=points).set_index("explainer").loc["gradcam"]
    table = points[points["explainer"] == "gradcam"].pivot_table(index="image", columns="x", values="value").to_numpy()
    random = np.random.default_rng(5)
    slow = [table[random.integers(0, 40, 40)].mean(0).max() for _ in range(4000)]
    assert [found["ci_low"], found["ci_high"]] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=2.6)


def test_rows_without_the_curves_that_a_number_is_made_of_are_told_so():
    rows, _ = some_hits()
    about = {"metrics": {"boxes": {"switches": {"reduction": "maximum over thresholds"}, "unit": "%", "higher_is_better": True}}}
    with pytest.raises(UsageError, match="metric boxes: needs curves; give the run directory"):
        summarise(rows, about=about)


def test_a_directory_that_cannot_be_written_is_summarised_with_a_warning_for_each_file(make_run, monkeypatch, capsys):
    run = make_run(VALUES)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert run_cli(["summarise", str(run)]) == 0
    shown = capsys.readouterr()
    assert "gradcam" in shown.out
    expected = [f"warning: {run / f'summary.{name}'}: not written (Read-only file system)" for name in ("csv", "md", "tex")]
    assert shown.err.splitlines() == expected
    assert not list(run.glob("*summary*"))


def test_an_explainer_without_meaning_leaves_the_numbers_of_the_others():
    rows, points = some_hits()
    about = {"metrics": {"boxes": {"switches": {"reduction": "maximum over thresholds"}, "unit": "%", "higher_is_better": True}}}
    alone = summarise(rows, about=about, curves=points).set_index("explainer")
    rows.loc[rows["explainer"] == "opticam", ["value", "status", "reason"]] = (np.nan, "not_applicable", "no attention")
    beside = summarise(rows, about=about, curves=points[points["explainer"] == "gradcam"]).set_index("explainer")
    assert beside.loc["gradcam", "mean"] == alone.loc["gradcam", "mean"]
    assert np.isnan(beside.loc["opticam", ["mean", "ci_low", "ci_high"]].to_numpy(dtype=float)).all()
    assert beside.loc["opticam", ["n_failed", "n_not_applicable"]].tolist() == [0, 40]
