"""A summary for people and for machines: console, Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from camdbench.tables.latex import to_latex
from camdbench.tables.layout import DAGGER, SUMMARY_COLUMNS, Block, blocks, superscript

__all__ = ["render", "to_csv", "to_json", "to_latex", "to_markdown"]

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

    _Column = tuple[Text, dict[str, Text]]  # heading; by explainer, what stands below it


_NARROW = 24  # characters for the names of explainers where room is short; a longer name folds


def render(summary: pd.DataFrame) -> RenderableType:
    """The summary for a terminal, one table per model, data set, split and target rule.

    Means with intervals, the best method bold, controls below a gap. Where the terminal is narrow, intervals move
    below their means, and columns that still do not fit into a further table; nothing is cut off.
    """
    from rich.console import Group

    return Group(*(_FittingTable(block) for block in blocks(summary)))


class _FittingTable:
    """A block that chooses its form when the width is known."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        yield from self._tables(console, options)
        yield Text("\n".join(self.block.notes) + "\n")

    def _tables(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        def fits(table: Table) -> bool:
            return console.measure(table, options=options.update(max_width=10_000)).maximum <= options.max_width

        for width in (None, _NARROW):
            wide = _table(self.block, _columns(self.block, stacked=False), width=width)
            if fits(wide):
                yield wide
                return
        columns = _columns(self.block, stacked=True)
        start = 0
        while start < len(columns):
            stops = range(len(columns), start + 1, -1)
            stop = next((stop for stop in stops if fits(_table(self.block, columns[start:stop], width=_NARROW))), start + 1)
            yield _table(self.block, columns[start:stop], width=_NARROW, titled=start == 0)
            start = stop


def _columns(block: Block, *, stacked: bool) -> list[_Column]:
    """Headings and, by explainer, what stands below them: metrics, then counts and costs."""
    from rich.text import Text

    found = list["_Column"]()
    for column in block.columns:
        places, texts = block.places(column), dict[str, Text]()
        for name in block.tied:
            cell = block.cells.get((name, column))
            texts[name] = Text("—") if cell is None else Text(cell.value, style="bold" if places.get(name) == 1 else "")
            if cell is not None and cell.alike:
                texts[name].append(DAGGER, style="not bold")
            if cell is not None and cell.interval:
                texts[name].append(("\n" if stacked else " ") + cell.interval, style="not bold")
        found.append((Text(column.heading), texts))
    for heading, counts in block.counts.items():
        found.append((Text(heading.replace("/", "/\n") if stacked else heading), {name: Text(text) for name, text in counts.items()}))
    return found


def _table(block: Block, columns: list[_Column], *, width: int | None = None, titled: bool = True) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(block.title) if titled else None, box=box.SIMPLE_HEAD)
    table.add_column(block.heads, overflow="fold", max_width=width)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for control in (False, True):
        table.add_section()
        for name in block.explainers(control=control):
            label = Text(f"{name} {superscript(block.tied[name])}".rstrip())
            table.add_row(label, *(texts[name] for _, texts in columns), style="dim" if control else None)
    return table


def to_markdown(summary: pd.DataFrame) -> str:
    """The summary as Markdown tables, the best method bold, controls in italics at the end."""
    return "\n\n".join(_markdown(block) for block in blocks(summary)) + "\n"


def _markdown(block: Block) -> str:
    headings = [block.heads, *(column.heading for column in block.columns), *block.counts]
    lines = [f"### {block.title}", "", _pipes(headings), _pipes([":--", *["--:"] * (len(headings) - 1)])]
    for control in (False, True):
        for name in block.explainers(control=control):
            mark = f" {superscript(block.tied[name])}".rstrip()
            texts = [f"`{name}`{mark}" + (" *(control)*" if control else "")]
            for column in block.columns:
                cell, best = block.cells.get((name, column)), block.places(column).get(name) == 1
                dagger = DAGGER if cell is not None and cell.alike else ""
                texts.append("—" if cell is None else f"{f'**{cell.value}**' if best else cell.value}{dagger} {cell.interval}".rstrip())
            lines.append(_pipes([*texts, *(column[name] for column in block.counts.values())]))
    return "\n".join([*lines, "", "  \n".join(block.notes)])


def _pipes(texts: list[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def to_csv(summary: pd.DataFrame) -> str:
    """The summary as CSV: the columns `SUMMARY_COLUMNS`, and `against_best` where tests were asked for.

    Numbers have ten digits, and are empty where there is none.
    """
    columns = [*SUMMARY_COLUMNS, *(["against_best"] if "against_best" in summary else [])]
    return summary[columns].to_csv(index=False, float_format="%.10g", lineterminator="\n")


def to_json(summary: pd.DataFrame) -> str:
    """The summary as a JSON list of objects; what is not a finite number is null."""
    columns = [summary[name].tolist() for name in summary.columns]  # tolist gives Python's own numbers
    lines = [
        [None if isinstance(value, float) and not math.isfinite(value) else value for value in line] for line in zip(*columns, strict=True)
    ]
    records = [dict(zip(summary.columns, line, strict=True)) for line in lines]
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False)
