"""Tables as HTML, for notebooks; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from camdbench.core.signs import BREAK, visible
from camdbench.tables.table import Cell, Column, Table


def to_html(tables: Sequence[Table]) -> str:
    """Render tables as HTML, each under its title; the best number is bold, controls are grey."""
    return "".join(map(_html, tables))


def _html(table: Table) -> str:
    head = "".join(f"<th{_align(column)}>{_text(column.full_heading)}</th>" for column in table.columns)
    rows = list[str]()
    for section in table.sections:
        style = ' style="color: grey"' if section.dim else ""
        for row in section.rows:
            rows.append(f"<tr{style}>" + "".join(map(_cell, row, table.columns)) + "</tr>")
    notes = "".join(f"<div>{_text(note)}</div>" for note in table.notes)
    return f"<div><b>{_text(table.title)}</b></div><table><tr>{head}</tr>{''.join(rows)}</table>{notes}"


def _cell(cell: Cell, column: Column) -> str:
    text = f"<b>{_text(cell.text)}</b>" if cell.emphasis == "best" else _text(cell.text)
    marker = cell.marker if column.kind == "number" else f" {cell.marker}".rstrip()
    return f"<td{_align(column)}>{text}{_text(marker)}{_text(f' {cell.interval}'.rstrip())}</td>"


def _align(column: Column) -> str:
    return f' style="text-align: {"right" if column.kind == "number" else "left"}"'


def _text(text: str) -> str:
    return escape(visible(text.replace(BREAK, " ")))
