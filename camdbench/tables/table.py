"""Model of printed tables: columns, and sections of rows of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

DAGGER = "†"


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: name of the column.
        heading: text of the heading.
        kind: `text` is left-aligned, `number` right-aligned; `name` is a text in code type in Markdown.
        unit: second part of the heading, such as `↓ %`; on a second line if space is short.
        wide_only: whether a terminal narrower than `render.WIDE` omits the column.
        in_print: whether the column is printed in LaTeX.
    """

    key: str
    heading: str
    kind: Literal["text", "name", "number"]
    unit: str = ""
    wide_only: bool = False
    in_print: bool = True

    @property
    def full_heading(self) -> str:
        """The heading with its unit."""
        return f"{self.heading} {self.unit}".rstrip()


@dataclass(frozen=True)
class Cell:
    """A formatted cell.

    Attributes:
        text: the text; `core.signs.BREAK` in it starts a new line on a terminal.
        interval: interval in brackets; empty if there is none.
        emphasis: `best` is bold in every format, `second` is underlined in LaTeX.
        marker: a sign after the text: a dagger, or a superscript letter.
        colour: style of the text on a terminal.
    """

    text: str
    interval: str = ""
    emphasis: Literal["", "best", "second"] = ""
    marker: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Section:
    """Rows between two rules; `dim` for controls."""

    rows: tuple[tuple[Cell, ...], ...]
    dim: bool = False


@dataclass(frozen=True)
class Table:
    """A table, ready to be rendered.

    Attributes:
        title: text above the table.
        columns: the columns.
        sections: rows, each with one cell per column.
        notes: sentences below the table.
        print_notes: sentences of the caption in LaTeX; default: `notes`.
    """

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    print_notes: tuple[str, ...] | None = None


def text_rows(*columns: Iterable[object]) -> tuple[tuple[Cell, ...], ...]:
    """Return rows of cells without markup from the texts of each column."""
    return tuple(tuple(Cell(str(text)) for text in row) for row in zip(*columns, strict=True))


def map_texts(table: Table, change: Callable[[str], str]) -> Table:
    """Return a table with every text changed: title, headings, cells and notes."""
    columns = tuple(replace(column, heading=change(column.heading), unit=change(column.unit)) for column in table.columns)
    sections = tuple(
        Section(tuple(tuple(_map_cell(cell, change) for cell in row) for row in section.rows), dim=section.dim)
        for section in table.sections
    )
    print_notes = None if table.print_notes is None else tuple(map(change, table.print_notes))
    return Table(change(table.title), columns, sections, tuple(map(change, table.notes)), print_notes)


def _map_cell(cell: Cell, change: Callable[[str], str]) -> Cell:
    return replace(cell, text=change(cell.text), interval=change(cell.interval), marker=change(cell.marker))
