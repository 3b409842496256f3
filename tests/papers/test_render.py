"""The table of every recipe as LaTeX, which pdflatex takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.latex import assert_compiles, needs_latex

from camdbench.papers.render import Written, to_latex, to_markdown, written
from camdbench.papers.shelf import load_exhibit, recipe_files
from camdbench.papers.verdict import Line, Measured, judge


def reproduced(name: str) -> Written:
    """A recipe's table as if every second cell had been measured, and the others had not for one of two reasons."""
    exhibit = load_exhibit(name)
    ours = [Measured(-12.3456, -13.0, -11.5, 100), Measured(reason="no data_root: give --data-root"), Measured(0.5, n=3)]
    lines: list[Line] = [judge(cell, ours[place % 3]) for place, cell in enumerate(exhibit.printed)]
    return written(exhibit, lines)


def test_each_part_names_the_reasons_that_it_refers_to_and_the_last_one_all_other_notes():
    table = Written(
        "Table 9",
        (
            ("a", "net", "Grad-CAM", "AD", "1.0", "[0.5, 1.5]", "2.0", "-1.0", "differs"),
            ("b", "net", "Grad-CAM", "AD", "—", "", "2.0", "", "not run (2)"),
        ),
        ("(1) no a", "(2) no b_c", "A footnote.", "2 cells: 1 differs, 1 not run"),
    )
    first, second = to_latex(table).split(r"\end{table}")[:2]
    assert "no b" not in first
    assert "no a" not in first + second
    assert r"(2) no b\_c. A footnote. 2 cells: 1 differs, 1 not run.}" in second
    assert r"Grad-CAM & AD & 1.0 & [0.5, 1.5] & 2.0 & $-$1.0 & differs \\" in first
    assert r"Grad-CAM & AD & --- &  & 2.0 &  & not run (2) \\" in second


def test_latex_has_every_cell_that_markdown_has():
    table = reproduced("opticam-table1")
    cells = [line for line in to_markdown(table).splitlines() if line.startswith("| ImageNet")]
    assert sum(" & " in line for line in to_latex(table).splitlines()) - to_latex(table).count(r"\toprule") == len(cells)


@needs_latex
@pytest.mark.parametrize("paper", ["opticam", "cgc", "cfce", "soloss"])
def test_latex_of_every_recipe_compiles_and_fits(paper: str, tmp_path: Path):
    names = [name for name in recipe_files() if name.startswith(paper)]
    assert names
    assert_compiles(r"\clearpage ".join(to_latex(reproduced(name)) for name in names), tmp_path)
