"""What is written: every number whole, the best one marked, names taken literally."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from helpers.latex import assert_compiles, needs_latex
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from camdbench.tables.latex_text import escape
from camdbench.tables.render import _latex_cell, render, to_console, to_csv, to_json, to_latex, to_markdown
from camdbench.tables.summary import SUMMARY_COLUMNS
from camdbench.tables.summary_tables import summary_groups, summary_tables
from camdbench.tables.table import DAGGER, Cell, Column

NAN = float("nan")
SPEC = 'opticam(iterations=50, objective="diff")'


@pytest.fixture
def summary(make_summary) -> pd.DataFrame:
    """Two metrics with opposite directions; controls that beat everybody; a tie; a method without value."""
    return make_summary(
        {"explainer": SPEC, "metric": "ad", "mean": 12.34, "ci_low": 10.06, "ci_high": 14.5, "passes_per_image": 201.0},
        {"explainer": SPEC, "metric": "ag", "mean": 5.0, "ci_low": 4.0, "ci_high": 6.0, "passes_per_image": 201.0},
        {"explainer": "gradcam", "metric": "ad", "mean": 30.0, "ci_low": 25.0, "ci_high": 35.0, "tie_group": "a"},
        {"explainer": "gradcam", "metric": "ag", "mean": 7.001, "ci_low": 6.0, "ci_high": 8.0, "tie_group": "a"},
        {"explainer": "hirescam", "metric": "ad", "mean": 30.002, "ci_low": 25.0, "ci_high": 35.0, "tie_group": "a"},
        {"explainer": "hirescam", "metric": "ag", "mean": 7.0, "ci_low": 6.0, "ci_high": 8.0, "tie_group": "a"},
        {"explainer": "worst", "metric": "ad", "mean": 90.0, "ci_low": 80.0, "ci_high": 95.0, "n": 3, "n_failed": 1},
        {"explainer": "worst", "metric": "ag", "mean": NAN, "ci_low": NAN, "ci_high": NAN, "n": 0, "n_failed": 4},
        {"explainer": "fakecam", "metric": "ad", "mean": 0.04, "ci_low": 0.01, "ci_high": 0.1},
        {"explainer": "fakecam", "metric": "ag", "mean": 99.0, "ci_low": 98.0, "ci_high": 99.5},
    )


def shown(summary: pd.DataFrame, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_console(summary_tables(summary)))
    return console.file.getvalue()


def bold(summary: pd.DataFrame) -> list[str]:
    """The bold texts of the body, in the order of the page; the heading's bold is left out."""
    console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system="standard")
    segments = console.render(to_console(summary_tables(summary)))
    texts = [segment.text.strip() for segment in segments if segment.style and segment.style.bold]
    return [text for text in texts if re.fullmatch(r"[\d.]+", text)]


def test_a_line_of_the_console_table(summary):
    line = next(line for line in shown(summary).splitlines() if SPEC in line)
    assert re.split(r"\s{2,}", line.strip()) == [SPEC, "12.3 [10.1, 14.5]", "5.0 [4.0, 6.0]", "4", "0", "201", "0.25"]
    head = next(line for line in shown(summary).splitlines() if "explainer" in line)
    assert re.split(r"\s{2,}", head.strip()) == ["explainer", "ad ↓ %", "ag ↑ %", "images", "failed", "passes/image", "s/image"]


def test_the_best_methods_are_bold_and_controls_never(summary):
    assert bold(summary) == ["12.3", "7.0", "7.0"]  # least ad; greatest ag, which a tie shares although its means differ by rounding
    controls = summary[summary["is_control"]]
    assert bold(controls) == []


def test_a_method_without_rivals_is_not_the_best(summary):
    assert bold(summary[summary["explainer"].isin([SPEC, "fakecam"])]) == []
    assert bold(summary[summary["explainer"].isin([SPEC, "worst"])]) == ["12.3"]


def test_equal_means_share_the_first_place(make_summary):
    cells = [
        {"explainer": name, "metric": "ag", "mean": mean} for name, mean in (("one", 4.0), ("two", 4.0), ("three", 3.0), ("four", 2.0))
    ]
    (block,) = summary_groups(make_summary(*cells))
    assert block.places(block.columns[0]) == {"one": 1, "two": 1, "three": 2}


def test_controls_stand_below_a_gap(make_summary):
    text = shown(make_summary({"explainer": "fakecam", "metric": "ad"}, {"explainer": "gradcam", "metric": "ad"}))
    lines = [line.strip() for line in text.splitlines()]
    place = next(index for index, line in enumerate(lines) if line.startswith("gradcam"))
    assert lines[place + 1] == ""
    assert lines[place + 2].startswith("fakecam")


def test_ties_and_protocols_are_explained(summary):
    text = shown(summary)
    assert "gradcam ᵃ" in text
    assert "hirescam ᵃ" in text
    assert "ᵃ gradcam = hirescam on every image" in text
    assert "worst ᵃ" not in text
    assert "Over the images that each line counts [95 % bootstrap interval]. Protocols: ad, ag: opticam." in text
    assert "Controls (not ranked): fakecam." in text
    assert "Controls" not in shown(summary[~summary["is_control"]])


def test_counts_show_what_lacks_and_only_if_something_does(summary):
    line = next(line for line in shown(summary).splitlines() if "worst" in line)
    assert re.split(r"\s{2,}", line.strip()) == ["worst", "90.0 [80.0, 95.0]", "—", "0–3", "4", "2", "0.25"]
    whole = summary[summary["explainer"] != "worst"]
    assert "failed" not in shown(whole)
    assert "constant" not in shown(whole)
    assert "constant" in shown(whole.assign(n_constant=1))
    assert "passes/image" not in shown(whole.assign(passes_per_image=NAN))
    assert re.split(r"\s{2,}", shown(whole.assign(passes_per_image=[NAN] + [2.0] * (len(whole) - 1))).splitlines()[4].strip())[-2] == "2"


def test_a_job_that_is_not_finished_leaves_a_dash(summary):
    text = shown(summary.drop(index=1))
    line = next(line for line in text.splitlines() if SPEC in line)
    assert re.split(r"\s{2,}", line.strip())[1:3] == ["12.3 [10.1, 14.5]", "—"]


@pytest.mark.parametrize("width", [46, 60, 80, 100, 120, 132, 200])
def test_nothing_is_cut_off_however_narrow_the_terminal(summary, width: int):
    text = shown(summary, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for number in ("12.3", "[10.1, 14.5]", "30.0", "[25.0, 35.0]", "7.0", "[6.0, 8.0]", "201", "0.25", "99.0", "[98.0, 99.5]"):
        assert number in text
    assert text.count("ᵃ gradcam = hirescam") == 1


def test_names_are_no_markup(make_summary):
    name = 'gradcam(layer="[bold]x[/bold]")'
    summary = make_summary(
        {"explainer": name, "metric": "ad", "model": "net[red]"}, {"explainer": "a|b", "metric": "ad", "model": "net[red]"}
    )
    assert name in shown(summary)
    assert "net[red]" in shown(summary)


def test_one_table_for_each_model_split_and_target(make_summary):
    cells = [{"explainer": "gradcam", "metric": "ad", "model": model, "split": split} for model in ("b", "a") for split in ("val", "train")]
    cells.append({"explainer": "gradcam", "metric": "ad", "model": "a", "target_rule": "predicted"})
    titles = [block.title for block in summary_groups(make_summary(*cells))]
    assert titles == [
        "b · shapes val · target: label",
        "b · shapes train · target: label",
        "a · shapes val · target: label",
        "a · shapes train · target: label",
        "a · shapes val · target: predicted",
    ]
    assert [title for title in titles if title in shown(make_summary(*cells))] == titles


def test_a_metric_without_unit_has_three_decimals(make_summary):
    text = shown(make_summary({"explainer": "gradcam", "metric": "ssim", "mean": 0.12345, "ci_low": 0.1, "ci_high": 0.2}))
    assert "ssim ↑ " in text
    assert "0.123 [0.100, 0.200]" in text


# ------------------------------------------------------------------------------------------------ Markdown


def test_markdown_has_as_many_fields_in_every_line(summary):
    text = to_markdown(summary_tables(summary.assign(explainer=summary["explainer"].replace("worst", 'worst(a="x|y")'))))
    lines = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("|")]
    assert {len(line) for line in lines} == {9}
    first = [field.strip() for field in lines[2][1:-1]]
    assert first == [f"`{SPEC}`", "**12.3** [10.1, 14.5]", "5.0 [4.0, 6.0]", "4", "0", "201", "0.25"]
    assert [field.strip() for field in lines[3][1:4]] == ["`gradcam` ᵃ", "30.0 [25.0, 35.0]", "**7.0** [6.0, 8.0]"]
    assert lines[-1][1].strip() == "`fakecam` *(control)*"
    assert "**" not in "".join(lines[-1])
    assert text.count("**") == 2 * 3


# ------------------------------------------------------------------------------------------------ LaTeX


def test_latex_marks_first_and_second(summary):
    body = {line.split(" & ")[0].strip(): line for line in to_latex(summary_tables(summary)).splitlines() if " & " in line}
    assert body["explainer"].strip() == r"explainer & ad $\downarrow$ \% & ag $\uparrow$ \% \\"
    spec = r"opticam(iterations=50, objective=\textquotedbl{}diff\textquotedbl{})"
    assert body[spec].endswith(r"& \textbf{12.3} & \underline{5.0} \\")
    assert body[r"gradcam\textsuperscript{a}"].endswith(r"& \underline{30.0} & \textbf{7.0} \\")
    assert body[r"hirescam\textsuperscript{a}"].endswith(r"& \underline{30.0} & \textbf{7.0} \\")
    assert body["worst"].endswith(r"& 90.0 & --- \\")
    assert body["fakecam"].endswith(r"& 0.0 & 99.0 \\")
    text = to_latex(summary_tables(summary))
    assert text.index("worst") < text.rindex(r"\midrule") < text.index("fakecam")
    assert r"Over 0--4 images (up to 4 failed). \textsuperscript{a} gradcam = hirescam on every image." in text


def test_latex_can_show_intervals(summary):
    text = to_latex(summary_tables(summary), intervals=True)
    assert r"\textbf{12.3} {\scriptsize [10.1, 14.5]} & \underline{5.0} {\scriptsize [4.0, 6.0]} \\" in text
    assert "scriptsize" not in to_latex(summary_tables(summary))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_escaped_text_reads_back(text: str):
    names = {"textasciitilde": "~", "textasciicircum": "^", "textbackslash": "\\", "textquotedbl": '"'}
    names |= {"textless": "<", "textgreater": ">", "textbar": "|"}
    escaped = escape(text).replace("-{}", "-")
    assert re.sub(r"\\(?:([a-z]+)\{\}|(.))", lambda found: names[found[1]] if found[1] else found[2], escaped) == text
    assert not re.search(r"(?<!\\)[&%$#_]|[~^<>|\"]", escaped)


def test_many_headings_take_two_lines_each(make_summary):
    metrics = [{"explainer": "gradcam", "metric": "ad", "protocol": f"p{number}"} for number in range(6)]
    assert r"explainer & \shortstack[r]{ad\\$\downarrow$ \%} & " in to_latex(summary_tables(make_summary(*metrics)))


def test_numbers_below_zero_have_a_minus_sign(make_summary):
    text = to_latex(
        summary_tables(make_summary({"explainer": "gradcam", "metric": "ssim", "mean": -0.5, "ci_low": -0.6, "ci_high": 0.1})),
        intervals=True,
    )
    assert r"$-$0.500 {\scriptsize [$-$0.600, 0.100]}" in text


@needs_latex
def test_latex_compiles(summary, tmp_path: Path):
    nasty = summary.assign(explainer=summary["explainer"].replace("worst", r'x(a="~^\<>|{}$#&_%")'), dataset="a_b%")
    assert_compiles(to_latex(summary_tables(nasty)) + to_latex(summary_tables(nasty), intervals=True), tmp_path)


def test_failures_and_what_does_not_apply_are_counted_apart(make_summary):
    lines = [
        {"explainer": "gradcam", "metric": "ad", "n": 1},
        {"explainer": "rise", "metric": "ad", "n": 1, "n_failed": 2},
        {"explainer": "rollout", "metric": "ad", "n": 1, "n_not_applicable": 4},
    ]
    text = shown(make_summary(*lines))
    rows = {name: next(line for line in text.splitlines() if name in line).split() for name in ("gradcam", "rise", "rollout")}
    assert [row[4:6] for row in rows.values()] == [["0", "0"], ["2", "0"], ["0", "4"]]
    assert "Over 1 image [" in text
    latex = to_latex(summary_tables(make_summary(*lines)))
    assert "Over 1 image (up to 2 failed, 4 not applicable)." in latex


# ------------------------------------------------------------------------------------------------ hostile names

HOSTILE = {
    "explainer": "`</code><img src=x onerror=a()>`|\n| forged | 1 |",
    "model": "=cmd|' /C calc'!A0\x1b[31m",
    "dataset": "<script>a()</script>\r\n### forged [b](javascript:a) &lt;",
    "protocol": "+1\u202e\x1b]0;title\x07",
}


@pytest.fixture
def hostile(make_summary) -> pd.DataFrame:
    lines = [{"explainer": name, "metric": "ad"} for name in ("gradcam", HOSTILE["explainer"])]
    return make_summary(*lines).assign(**{name: HOSTILE[name] for name in ("model", "dataset", "protocol")})


def test_hostile_names_are_text_in_markdown(hostile):
    from markdown_it import MarkdownIt

    text = to_markdown(summary_tables(hostile))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert set(re.findall(r"<(\w+)", html)) <= {"h3", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "p", "br"}
    assert html.count("<h3>") == html.count("<table>") == 1
    assert html.count("<tr>") == 3
    assert "`&lt;/code&gt;&lt;img src=x onerror=a()&gt;`|\\n| forged | 1 |" in html
    assert "&lt;script&gt;a()&lt;/script&gt;\\r\\n### forged [b](javascript:a) &amp;lt;" in html


def test_hostile_names_are_text_in_csv_on_a_terminal_and_in_latex(hostile):
    fields = next(csv.DictReader(io.StringIO(to_csv(hostile))))
    assert fields["model"] == r"'=cmd|' /C calc'!A0\x1b[31m"
    assert fields["protocol"].startswith(r"'+1\u202e\x1b]0;title\x07")
    assert to_csv(pd.DataFrame({"paper": ["-1.5", "-a", "@b"], "mean": [-1.5, 2, 3]})) == "paper,mean\n-1.5,-1.5\n'-a,2\n'@b,3\n"
    console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(to_console(summary_tables(hostile)))
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", re.sub(r"\x1b\[\d*m", "", console.file.getvalue()))
    latex = to_latex(summary_tables(hostile))
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", latex)
    assert latex.count("forged") == 2
    assert not any(line.startswith(("forged", "\\#")) for line in latex.splitlines())


# ------------------------------------------------------------------------------------------------ CSV, JSON


def test_csv_has_one_order_of_columns_and_ten_digits(summary):
    text = to_csv(summary.assign(mean=1 / 3))
    lines = text.split("\n")
    assert lines[0] == ",".join(SUMMARY_COLUMNS)
    assert lines[0] == (
        "dataset,split,model,explainer,metric,protocol,target_rule,mean,ci_low,ci_high,n,n_failed,n_not_applicable,n_undefined,n_constant,"
        "higher_is_better,unit,passes_per_image,seconds_per_image,is_control,tie_group"
    )
    quoted = '"opticam(iterations=50, objective=""diff"")"'
    assert lines[1] == f"shapes,val,net,{quoted},ad,opticam,label,0.3333333333,10.06,14.5,4,0,0,0,0,False,%,201,0.25,False,"
    assert lines[-1] == ""
    assert "\r" not in text


def test_json_is_a_list_of_objects_without_nan(summary):
    objects = json.loads(to_json(summary), parse_constant=pytest.fail)
    assert [item["explainer"] for item in objects] == list(summary["explainer"])
    first, failed = objects[0], objects[7]
    assert list(first) == list(SUMMARY_COLUMNS)
    assert (first["mean"], first["n"], first["higher_is_better"], first["is_control"]) == (12.34, 4, False, False)
    assert (type(first["n"]), type(first["is_control"])) == (int, bool)
    assert (failed["mean"], failed["ci_low"]) == (None, None)
    assert json.loads(to_json(summary.assign(mean=math.inf)))[0]["mean"] is None
    assert json.loads(to_json(summary.iloc[:0])) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 100), st.just(NAN)), min_size=2, max_size=5), st.booleans())
def test_the_first_places_are_the_extreme_mean_and_its_ties(means: list[float], higher: bool):
    lines = [
        {
            "dataset": "d",
            "split": "s",
            "model": "m",
            "explainer": f"e{index}",
            "metric": "x",
            "protocol": "p",
            "target_rule": "t",
            "mean": mean,
        }
        for index, mean in enumerate(means)
    ]
    table = pd.DataFrame(lines).assign(ci_low=NAN, ci_high=NAN, unit="%", higher_is_better=higher, is_control=False, tie_group="")
    (block,) = summary_groups(table)
    places = block.places(block.columns[0])
    signed = {f"e{index}": (-mean if higher else mean) for index, mean in enumerate(means) if not math.isnan(mean)}
    first = {name for name, mean in signed.items() if mean - min(signed.values()) <= 0.01}
    rest = {name: mean for name, mean in signed.items() if name not in first}
    second = {name for name, mean in rest.items() if mean - min(rest.values()) <= 0.01}
    wanted = dict.fromkeys(first, 1) | dict.fromkeys(second, 2) if len(signed) > 1 else {}
    assert places == wanted


def test_a_dagger_hangs_beside_a_column_of_numbers_and_stands_before_an_interval() -> None:
    column = Column("ad", "AD", "number")
    assert _latex_cell(Cell("1.0", "[0.5, 1.5]", marker=DAGGER), column, intervals=False) == r"1.0\rlap{$^\dagger$}"
    shown = _latex_cell(Cell("1.0", "[0.5, 1.5]", marker=DAGGER), column, intervals=True)
    assert shown.startswith(r"1.0$^\dagger$ {\scriptsize ")
    assert _latex_cell(Cell("x", marker=DAGGER), Column("name", "Name", "name"), intervals=False) == r"x$^\dagger$"


def test_json_is_one_line_of_text_with_its_end() -> None:
    data = pd.DataFrame({"mean": [1.5]})
    assert render([], data, "json") == to_json(data) + "\n"
