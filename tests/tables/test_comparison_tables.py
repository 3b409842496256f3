"""Comparisons written out: every format has the same texts, and LaTeX takes its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.latex import assert_compiles, needs_latex

from camdbench.cli.main import run_cli
from camdbench.tables.comparison import compare
from camdbench.tables.comparison_tables import pair_tables, rank_tables, seed_tables
from camdbench.tables.mean_ranks import rank
from camdbench.tables.render import to_latex, to_markdown
from camdbench.tables.seed_variance import seed_spread
from camdbench.tables.significance import vs_best
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import summary_tables
from camdbench.tables.table import Cell, Column, Section, Table, text_rows

RANDOM = np.random.default_rng(5)
BEST = RANDOM.uniform(10, 20, 30)
NASTY = r'x(a="~^\<>|{}$#&_%")'
VALUES = {
    'winner(a="b_c")': {"ad": list(BEST)},
    NASTY: {"ad": list(BEST + np.resize([2.0, -1.9], 30))},
    "far": {"ad": list(BEST + RANDOM.uniform(20, 30, 30))},
}
NETS = ["net-s0", "net-s1", "net-s2"]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def seeded(make_run) -> Path:
    own = {name: {"far": {"ad": list(BEST + seed)}} for seed, name in enumerate(NETS)}
    return make_run(own["net-s0"], models=NETS, values_of=own, name="seeded")


def texts(table: Table) -> dict[str, list[str]]:
    """The texts below each heading."""
    rows = table.sections[0].rows
    return {column.heading: [row[place].text for row in rows] for place, column in enumerate(table.columns)}


def test_a_winner_is_bold_in_print_and_what_is_not_significant_has_a_dagger(make_run):
    text = to_latex(pair_tables(compare(make_run(VALUES)), alpha=0.05))
    close, far, _ = (line for line in text.splitlines() if line.count(" & ") == 5 and "difference" not in line)
    winner = r"winner(a=\textquotedbl{}b\_c\textquotedbl{})"
    assert close.count(r"\rlap{$^\dagger$}") == 1
    assert r"\textbf" not in close
    assert far.strip().startswith(rf"\textbf{{{winner}}} & far & $-$")
    assert "dagger" not in far
    assert text.count("dagger") == 2  # the other one says what it means
    assert r"Over 30 images; the better one is bold. $^\dagger$ not significant: paired permutation test" in text
    assert "dagger" not in to_latex(pair_tables(compare(make_run(VALUES)), alpha=1.0))


def test_differences_below_zero_have_a_minus_sign_and_zero_has_none(make_run):
    text = to_latex(pair_tables(compare(make_run(VALUES)), alpha=0.05))
    assert re.search(r"& \$-\$2\d\.\d\d &", text)
    assert texts(pair_tables(compare(make_run(VALUES)).assign(difference=-0.0001))[0])["difference"] == ["0.00"] * 3


def test_long_tables_go_over_several(make_run):
    rows = text_rows([f"n{place}" for place in range(100)], ["1"] * 100)
    text = to_latex([Table("many", (Column("name", "name", "text"), Column("x", "x", "number")), (Section(rows),))])
    assert text.count(r"\begin{tabular}") == 4
    assert text.count("many, continued.") == 3
    assert [len(re.findall(r"n\d+ & 1", part)) for part in text.split(r"\end{tabular}")] == [32, 32, 32, 4, 0]


def test_markdown_has_as_many_fields_in_every_line(make_run):
    text = to_markdown(pair_tables(compare(make_run(VALUES))))
    lines = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("|")]
    assert {len(line) for line in lines} == {11}  # n is in the title
    assert len(lines) == 2 + 3


def test_the_spread_over_seeds_is_written_with_what_its_columns_mean(seeded):
    spread = seed_spread(seeded)
    (table,) = seed_tables(spread)
    line = {heading: values[0] for heading, values in texts(table).items()}
    assert line["mean"] == f"{np.mean(BEST) + 1:.2f}"
    assert line["sd seeds"].startswith("1.00 ± ")
    assert line["sd residual"] == "0.00 ± 0.00"
    assert line["seeds"] == "3"
    assert "seeds on these images" in " ".join(table.notes)
    assert "± 0.5;" in " ".join(seed_tables(spread, half_width=0.5)[0].notes)
    assert "### ad (opticam) · net · shapes val · target: label" in to_markdown([table])


@needs_latex
def test_latex_compiles_and_fits(make_run, seeded, tmp_path: Path):
    run = make_run(VALUES)
    compared = compare(run)
    daggers = to_latex(summary_tables(vs_best(summarise(run), compared)))
    intervals = to_latex(summary_tables(vs_best(summarise(run), compared)), intervals=True)
    assert daggers.count("dagger") == intervals.count("dagger") == 2
    columns = tuple(Column(f"{n}", f"heading {n}", "number") for n in range(20))
    long = Table("long and wide", columns, (Section(((Cell("-1.00", marker="†"),) * 20,) * 60),), notes=("± → ≤ ∞ ×",))
    comparison = to_latex([*pair_tables(compared, alpha=0.05), *seed_tables(seed_spread(seeded)), long])
    assert_compiles(daggers + intervals + comparison, tmp_path)


@needs_latex
def test_the_commands_write_what_latex_takes(make_run, seeded, tmp_path: Path, capsys: Said):
    run = make_run(VALUES)
    texts = list[str]()
    for words in (
        ["compare", str(run)],
        ["compare", str(run), str(run), "--across"],
        ["compare", str(seeded), "--training-seeds"],
        ["summarise", str(run), "--significance"],
    ):
        assert run_cli([*words, "--format", "latex"]) == 0
        texts.append(capsys.readouterr().out)
        assert r"\toprule" in texts[-1]
    assert "dagger" in texts[0]
    assert_compiles("".join(texts), tmp_path)


def test_the_spread_over_seeds_in_every_format(seeded, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    def said(*words: str) -> str:
        assert run_cli(["compare", str(seeded), "--training-seeds", *words]) == 0
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "160")
    assert "sd images" in said()
    assert "min. detectable:" in said("--half-width", "2")
    assert said("--format", "csv").startswith("network,dataset,split,target_rule,metric,protocol,explainer,mean,se,ci_low")
    (item,) = json.loads(said("--format", "json"))
    assert (item["network"], item["seeds"], item["sd_seeds"], item["images_needed"]) == ("net", 3, pytest.approx(1), None)
    assert "| explainer | mean |" in said("--format", "markdown")
    monkeypatch.setenv("COLUMNS", "80")
    table, told = said().split("not shown on fewer than 120 columns:")
    assert "sd residual" not in table
    assert "sd residual" in told


def test_options_that_do_not_go_together_are_refused(make_run, seeded, capsys: Said):
    for words, message in (
        ([str(seeded), "--half-width", "1"], "--half-width = 1: needs --training-seeds"),
        ([str(seeded)] * 3, "cannot be pooled: both have far × ad on net-s0; --across compares equal cells"),
        ([str(seeded)] * 3 + ["--across"], "--across: 3 runs: expected two"),
        ([str(seeded), "--training-seeds", "--half-width", "-1"], "--half-width = -1.0: expected a positive number"),
        ([str(make_run(VALUES)), "--training-seeds"], "no two models differ only in their training seed (net);"),
    ):
        assert run_cli(["compare", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_comparison_is_printed_with_ranks(make_run, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "150")
    run: Any = make_run(VALUES)
    assert run_cli(["compare", str(run), "--all"]) == 0
    wide = capsys.readouterr().out
    assert all(word in wide for word in ("p Wilcoxon", "mean rank · ad · net: Friedman p", "better"))
    monkeypatch.setenv("COLUMNS", "90")
    assert run_cli(["compare", str(run)]) == 0
    table, told = capsys.readouterr().out.split("not shown on fewer than 120 columns:")
    assert "p Wilcoxon" not in table
    assert "p Wilcoxon" in told


def test_eighty_columns_show_the_number_of_images(make_run, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    gaps = {"gaps": {"ad": [*BEST[:20], *[(float("nan"), "error")] * 10]}}
    equal, mixed = make_run(VALUES), make_run(VALUES | gaps, name="mixed")

    def said(run: Path, *words: str) -> list[str]:
        assert run_cli(["compare", str(run), "--all", *words]) == 0
        return capsys.readouterr().out.splitlines()

    assert said(equal)[0] == "ad (opticam) · net · shapes val · target: label · 30 images"
    assert said(equal)[2].split()[:3] == ["a", "b", "difference"]
    lines = said(mixed)
    heading = lines[2].split()
    assert (heading[2], "p Holm" in lines[2], "images" in lines[0]) == ("n", True, False)
    counts = [int(found[1]) for line in lines if (found := re.search(r" (\d+) +-?[\d.]+ +\[", line))]
    assert sorted(counts) == [20, 20, 20, 30, 30, 30]
    assert "better" in "".join(lines[lines.index(next(line for line in lines if "not shown" in line)) :])
    assert "Over 30 images" in "".join(said(equal, "--format", "latex"))


def test_a_metric_of_the_user_is_named_as_in_the_run(make_run, capsys: Said, tmp_path: Path):
    (tmp_path / "mine.py").write_text("def peak(inputs):\n    return inputs.saliency.flatten(1).amax(1)\n", encoding="utf-8")
    known = {name: {"ad": own["ad"]} for name, own in VALUES.items()}
    first, both = make_run(known), make_run({name: {**own, "peak": own["ad"]} for name, own in known.items()}, name="both")
    for words in (["-m", "peak"], ["-m", f"{tmp_path / 'mine.py'}:peak"], ["-m", f"peak={tmp_path / 'mine.py'}:peak"]):
        assert run_cli(["compare", str(both), *words, "--format", "csv"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert {line.split(",")[4] for line in lines[1:]} == {"peak"}
    assert run_cli(["compare", str(first), str(both), "--across"]) == 0  # a metric of the second run alone
    assert run_cli(["compare", str(both), "-m", "average_drop", "--format", "csv"]) == 0  # an alias
    capsys.readouterr()
    assert run_cli(["compare", str(both), "-m", "peek"]) == 2
    assert capsys.readouterr().err == "Error: --metrics: peek not in the run; choose from ad, peak\n"


def test_the_pairs_of_the_best_come_first_and_the_rest_on_request(make_run, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "150")
    run = make_run({name: {"ad": own["ad"][:5], "ag": own["ad"][:5]} for name, own in (VALUES | {"fakecam": VALUES["far"]}).items()})

    def said(*words: str) -> str:
        assert run_cli(["compare", str(run), *words]) == 0
        return capsys.readouterr().out

    short, full = said(), said("--all")
    assert short.splitlines()[-1] == "--all: 8 more pairs, mean ranks, agreement of metrics"
    assert ("fakecam" in short, "mean rank ·" in short, "fakecam" in full, "mean rank ·" in full) == (False, False, True, True)
    note = "5 images cannot reach 0.05: the smallest possible p of the sign-flip test is 0.062, Holm-corrected 0.19."
    assert note in short
    assert "cannot reach" not in said("--alpha", "0.2")
    assert "ag" in full
    assert "ag (" not in said("--all", "--metrics", "ad")
    assert "agreement of metrics" in full
    assert "agreement of metrics" not in said("--all", "--metrics", "ad")
    assert said("--format", "csv").count("\n") == 1 + 2 * 6


def test_the_spread_over_seeds_is_whole_on_a_narrow_terminal(seeded, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert run_cli(["compare", str(seeded), "--training-seeds"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 60
    assert f"{np.mean(BEST) + 1:.2f}" in out
    assert re.search(r"1\.00 ± \d\.\d\d ", out)
    assert all(heading in out for heading in ("explainer", "sd images", "seeds needed", "images needed"))


def test_digits_that_rounding_moves_are_not_printed(make_run):
    fast, note = 'opticam(search_dtype="network")', "Fewer digits: opticam"
    shifts = {fast: 1.0, "opticam": 0.0, "far": 5.2}
    run = make_run({name: {"ad": list(BEST + shift), "sparseness": list((BEST + shift) / 10)} for name, shift in shifts.items()})
    compared = compare(run)
    for form in (None, 0.05):
        per_cent, plain = tables = pair_tables(compared, alpha=form)
        assert texts(per_cent)["difference"] == ["1", "-4", "-5.20"]  # the first two with `fast`
        assert texts(per_cent)["95 % interval"] == ["[1, 1]", "[-4, -4]", "[-5.20, -5.20]"]
        assert texts(per_cent)["rank biserial"] == ["1.00", "-1.00", "-1.00"]
        assert texts(plain)["difference"] == ["0.10", "-0.42", "-0.52"]
        assert all(table.notes[-1].startswith(f'{note}(search_dtype="network"); ') for table in tables)
    ranks = rank_tables(rank(run), None)
    assert texts(ranks[0])["rank"] == ["1.0", "2.0", "3.0"]
    assert ranks[0].notes[-1].startswith(note)
    [summary] = summary_tables(summarise(run))
    cells = {row[0].text: row[1:3] for row in summary.sections[0].rows}
    mean = BEST.mean()
    assert [cell.text for cell in cells[fast]] == [f"{mean + 1:.0f}", f"{(mean + 1) / 10:.2f}"]
    assert [cell.text for cell in cells["opticam"]] == [f"{mean:.1f}", f"{mean / 10:.3f}"]
    assert any(line.startswith(note) for line in summary.notes)
    assert any(line.startswith(note) for line in summary.print_notes)
    across = pair_tables(compare(run, make_run({name: {"ad": list(BEST)} for name in shifts}, name="other"), across=True))
    assert texts(across[0])["difference"] == ["1", "0.00", "5.20"]
    without = rank(make_run({"far": {"ad": [1.0]}, "b": {"ad": [2.0]}}, name="third"))
    for table in (*pair_tables(compared[~compared["a"].eq(fast)]), *rank_tables(without, None)):
        assert not any("Fewer digits" in line for line in table.notes)


def test_variance_components_of_an_explainer_that_amplifies_rounding_have_fewer_digits(make_run):
    own = {net: {name: {"ad": list(BEST + seed)} for name in ("far", 'opticam(search_dtype="network")')} for seed, net in enumerate(NETS)}
    [table] = seed_tables(seed_spread([make_run(own[NETS[0]], models=NETS, values_of=own, name="moving")]))
    assert [bool(re.fullmatch(r"\d+", text)) for text in texts(table)["mean"]] == [False, True]
    assert texts(table)["sd seeds"][1].split(" ± ")[0] == "1"
    assert table.notes[-1].startswith("Fewer digits: opticam")
