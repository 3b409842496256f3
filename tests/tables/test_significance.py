"""Daggers stand where scipy's test, corrected by Holm's rule read literally, finds no difference from the best."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camdbench.cli.main import run_cli
from camdbench.tables.comparison import compare
from camdbench.tables.render import to_csv, to_latex, to_markdown
from camdbench.tables.significance import vs_best
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import ALPHA, summary_tables

RANDOM = np.random.default_rng(7)
BEST = RANDOM.uniform(10, 20, 30)
VALUES = {
    "winner": {"ad": list(BEST), "ag": list(RANDOM.uniform(50, 60, 30))},
    "close": {"ad": list(BEST + np.resize([2.0, -1.9], 30)), "ag": list(RANDOM.uniform(10, 20, 30))},
    "far": {"ad": list(BEST + RANDOM.uniform(20, 30, 30)), "ag": list(RANDOM.uniform(10, 20, 30))},
    "fakecam": {"ad": list(BEST - RANDOM.uniform(0, 9, 30)), "ag": [99.0] * 30},
}


@pytest.fixture
def marked(make_run) -> pd.DataFrame:
    run = make_run(VALUES)
    return vs_best(summarise(run), compare(run))


def standings(summary: pd.DataFrame) -> dict[tuple[str, str], str]:
    return {(line["explainer"], line["metric"]): line["vs_best"] for line in summary.to_dict("records")}


def literally(metric: str, *, higher: bool) -> dict[str, str]:
    """Each method against the best by scipy's permutation test; p-values multiplied step by step, over all pairs."""
    p_of = {}
    for first, second in combinations(VALUES, 2):
        differences = np.array(VALUES[first][metric]) - np.array(VALUES[second][metric])
        test = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=5000, rng=np.random.default_rng(1))
        p_of[first, second] = test.pvalue
    corrected, highest = {}, 0.0
    for step, pair in enumerate(sorted(p_of, key=p_of.get)):
        highest = max(highest, min(1.0, p_of[pair] * (len(p_of) - step)))
        corrected[pair] = corrected[pair[::-1]] = highest
    methods = [name for name in VALUES if name != "fakecam"]
    best = (max if higher else min)(methods, key=lambda name: np.mean(VALUES[name][metric]))
    found = {name: "differs" if corrected[name, best] < ALPHA else "not_significant" for name in methods if name != best}
    return found | {best: "best", "fakecam": ""}


def test_standings_are_those_of_a_literal_reading(marked):
    found = standings(marked)
    for metric, higher in (("ad", False), ("ag", True)):
        assert {name: found[name, metric] for name in VALUES} == literally(metric, higher=higher)
    assert {found["close", "ad"], found["close", "ag"]} == {"not_significant", "differs"}  # both happen


def test_an_explainer_without_values_is_compared_with_nothing(make_run):
    run = make_run({**VALUES, "missing": {"ad": [np.nan] * 30, "ag": VALUES["far"]["ag"]}})
    summary = vs_best(summarise(run), compare(run))
    found = standings(summary)
    assert (found["missing", "ad"], found["missing", "ag"]) == ("", "differs")
    (row,) = [line for line in to_markdown(summary_tables(summary)).splitlines() if "missing" in line]
    assert "†" not in row


def test_several_best_ones_must_all_be_told_apart():
    """A made-up table: two share the first place; one p is small, the other is not."""
    line = {"dataset": "d", "split": "s", "model": "m", "target_rule": "label", "metric": "x", "protocol": "p"}
    facts = {"ci_low": 0.0, "ci_high": 9.0, "n": 4, "unit": "%", "higher_is_better": True, "is_control": False, "tie_group": ""}
    means = {"one": 5.0, "two": 5.0, "third": 4.0}
    summary = pd.DataFrame([line | facts | {"explainer": name, "mean": mean} for name, mean in means.items()])
    pairs = [("one", "two", 1.0), ("one", "third", 0.001), ("third", "two", 0.2)]
    table = pd.DataFrame([line | {"a": first, "b": second, "p_holm": p} for first, second, p in pairs])
    assert list(vs_best(summary, table)["vs_best"]) == ["best", "best", "not_significant"]
    assert list(vs_best(summary, table.assign(p_holm=0.001))["vs_best"]) == ["best", "best", "differs"]
    assert list(vs_best(summary, table.assign(p_holm=float("nan")))["vs_best"]) == ["best", "best", "not_significant"]
    assert list(vs_best(summary, table.iloc[:2])["vs_best"]) == ["best", "best", "untested"]


def test_markdown_marks_what_is_not_significant_and_says_what_it_means(marked):
    text = to_markdown(summary_tables(marked))
    close = next(line for line in text.splitlines() if "`close`" in line)
    assert f"{np.mean(VALUES['close']['ad']):.1f}† [" in close
    assert close.count("†") == 1
    assert "† not significantly different from the best: paired permutation test, Holm-corrected within each metric, 5%." in text
    assert text.count("†") == 2
    assert "†" not in to_markdown(summary_tables(marked.drop(columns="vs_best")))


def test_latex_marks_the_same_cells(marked):
    text = to_latex(summary_tables(marked))
    body = {line.split(" & ")[0].strip(): line for line in text.splitlines() if " & " in line}
    assert r"$^\dagger$" in body["close"]
    assert body["close"].count("dagger") == 1
    assert not any("dagger" in body[name] for name in ("winner", "far", "fakecam"))
    assert r" $^\dagger$ not significantly different from the best: paired permutation test" in text
    assert r"5\%.}" in text
    assert "dagger" not in to_latex(summary_tables(marked.drop(columns="vs_best")))


def test_what_is_not_tested_is_named(marked):
    text = to_markdown(summary_tables(marked.assign(vs_best="untested")))
    assert "Not tested against the best: ad, ag." in text
    assert "†" not in text


def test_csv_holds_the_standings_at_its_end(marked):
    lines = to_csv(marked).splitlines()
    assert lines[0].endswith(",tie_group,vs_best")
    assert lines[1].endswith(",best")
    assert "vs_best" not in to_csv(marked.drop(columns="vs_best"))


def test_the_command_marks_on_request_and_leaves_the_files_beside_the_rows_plain(make_run, capsys: pytest.CaptureFixture[str]):
    run = make_run(VALUES)
    assert run_cli(["summarise", str(run), "--format", "latex", "--significance"]) == 0
    assert r"$^\dagger$" in capsys.readouterr().out
    assert run_cli(["summarise", str(run), "--significance"]) == 0
    assert "†" in capsys.readouterr().out
    assert run_cli(["summarise", str(run), "--format", "latex"]) == 0
    assert "dagger" not in capsys.readouterr().out
    assert "dagger" not in (run / "summary.tex").read_text(encoding="utf-8")
    assert "vs_best" not in (run / "summary.csv").read_text(encoding="utf-8")


def test_one_explainer_has_nothing_to_be_tested_against(make_run, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["summarise", str(make_run({"winner": VALUES["winner"]})), "--significance"]) == 2
    assert "nothing to compare" in capsys.readouterr().err
