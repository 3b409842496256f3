"""The table of every recipe as LaTeX, which pdflatex takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.latex import assert_compiles, needs_latex

from camdbench.papers.agreement import CellComparison, OurValue, compare_cell
from camdbench.papers.paper_tables import paper_tables
from camdbench.papers.recipe_files import load_table, recipe_files
from camdbench.tables.render import to_latex, to_markdown
from camdbench.tables.table import Table


def reproduced(name: str) -> list[Table]:
    """A recipe's table as if every second cell had been measured, and the others had not for one of two reasons."""
    paper_table = load_table(name)
    ours = [OurValue(-12.3456, -13.0, -11.5, 100), OurValue(reason="no data_root: give --data-root"), OurValue(0.5, n=3)]
    lines: list[CellComparison] = [compare_cell(cell, ours[place % 3]) for place, cell in enumerate(paper_table.values)]
    return paper_tables(paper_table, lines)


def test_each_part_names_the_reasons_that_it_refers_to_and_the_last_one_all_other_notes():
    paper_table = load_table("opticam-table1")
    first, *_, last = dict.fromkeys(cell.labels[:2] for cell in paper_table.values)
    cells = [next(cell for cell in paper_table.values if cell.labels[:2] == key) for key in (first, last)]
    number = float(cells[0].number or 0)
    lines = [compare_cell(cells[0], OurValue(number - 1, number - 1.5, number - 0.5, 9)), compare_cell(cells[0], OurValue(reason="no a"))]
    lines.append(compare_cell(cells[1], OurValue(reason="no b_c")))
    one, two = to_latex(paper_tables(paper_table, lines)).split(r"\end{table}")[:2]
    assert "embedded networks" not in one + two
    assert r"(1) no a.}" in one
    assert "no b" not in one
    assert "no a" not in two
    assert r"(2) no b\_c. " in two
    assert r"3 cells: 1 differs, 2 not run.}" in two
    assert r"$-$1.0 & differs \\" in one
    assert rf"--- &  & {cells[1].value} &  & not run (2) \\" in two


def test_latex_has_every_cell_that_markdown_has():
    table = reproduced("opticam-table1")
    cells = [line for line in to_markdown(table).splitlines() if line.startswith("| ") and not line.startswith(("| method", "| :--"))]
    assert len(cells) == len(load_table("opticam-table1").values)
    assert sum(" & " in line for line in to_latex(table).splitlines()) - to_latex(table).count(r"\toprule") == len(cells)


@needs_latex
@pytest.mark.parametrize("paper", ["opticam", "cgc", "cfce", "soloss"])
def test_latex_of_every_recipe_compiles_and_fits(paper: str, tmp_path: Path):
    names = [name for name in recipe_files() if name.startswith(paper)]
    assert names
    assert_compiles(r"\clearpage ".join(to_latex(reproduced(name)) for name in names), tmp_path)
