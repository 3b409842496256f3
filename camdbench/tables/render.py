"""Rendering: tables on a terminal, as Markdown and as LaTeX; data frames as CSV and JSON.

Names come from files and plug-ins. Each format makes their control characters visible and escapes what it would interpret: HTML, links
and code spans in Markdown, commands in LaTeX, formulas in CSV.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from camdbench.core.signs import BREAK, in_encoding, in_json, visible
from camdbench.tables.latex_text import escape, number
from camdbench.tables.table import DAGGER, Cell, Column, Section, Table, map_texts

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

Format = Literal["table", "csv", "markdown", "latex", "json"]
WIDE = 120  # characters that columns with `wide_only` need
PREAMBLE = r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}"
_NARROW = 24  # characters of the first column where room is short; a longer name folds
_PAGE = 32  # rows of a table that fits a page together with a caption of several lines
_SIDE_BY_SIDE = 6  # columns whose headings take one line each
_FORMULA = re.compile(r"[=+@]|-(?![\d.]+$)")  # at the start of a field, a spreadsheet would evaluate it; negative numbers stay
_HTML = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # natural width, at most that of the page


def render(tables: Sequence[Table], data: pd.DataFrame, form: Literal["csv", "markdown", "latex", "json"]) -> str:
    """Render tables as text; CSV and JSON hold their data, unrounded."""
    if form == "csv":
        return to_csv(data)
    if form == "json":
        return to_json(data) + "\n"
    return (to_markdown if form == "markdown" else to_latex)(tables)


def to_csv(data: pd.DataFrame) -> str:
    """Format a data frame as CSV: numbers with ten digits, NaN as an empty field, texts that no spreadsheet evaluates."""
    texts = {name: data[name].map(_csv_text) for name in data.columns if not pd.api.types.is_numeric_dtype(data[name])}
    return data.assign(**texts).to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _csv_text(value: object) -> object:
    """Return a field with control characters visible and an apostrophe before what looks like a formula.

    >>> _csv_text("=1+1"), _csv_text("net"), _csv_text("-1.5")
    ("'=1+1", 'net', '-1.5')
    """
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) else "") + visible(value)


def to_json(data: pd.DataFrame) -> str:
    """Format a data frame as a JSON list of objects; missing and non-finite numbers are null."""
    columns = [data[name].tolist() for name in data.columns]  # tolist gives Python's own numbers
    lines = [
        [None if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)) else value for value in line]
        for line in zip(*columns, strict=True)
    ]
    records = [dict(zip(data.columns, line, strict=True)) for line in lines]
    return in_json(json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False))


# ------------------------------------------------------------------------------------------------ terminal


def to_console(tables: Sequence[Table], *, notes_last: bool = False) -> RenderableType:
    """Render tables for a terminal, each under its title.

    On a narrow terminal, columns with `wide_only` are omitted and named below the tables. If a table with one text column does not
    fit, intervals move below their means and the remaining columns to further tables; nothing is truncated.

    Args:
        tables: the tables.
        notes_last: whether notes follow all tables, each once; default: notes follow each table.
    """
    return _Console(tables, notes_last=notes_last)


class _Console:
    """Renderable that lays out tables for the width of the terminal."""

    def __init__(self, tables: Sequence[Table], *, notes_last: bool) -> None:
        self.tables = tables
        self.notes_last = notes_last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        omitted, notes = dict[str, None](), dict[str, None]()
        tables = [map_texts(table, lambda text: in_encoding(_terminal(text), options.encoding)) for table in self.tables]
        for place, table in enumerate(tables):
            if place and tables[place - 1].notes and not self.notes_last:
                yield Text()
            shown = [column for column in table.columns if not column.wide_only or options.max_width >= WIDE]
            omitted |= dict.fromkeys(column.heading for column in table.columns if column not in shown)
            if any(section.rows for section in table.sections):
                if table.title:
                    yield Text(table.title, style="bold")
                yield from _fit_to_width(table, shown, console, options)
            notes |= dict.fromkeys(table.notes)
            if table.notes and not self.notes_last:
                yield Text("\n".join(table.notes))
        if self.notes_last and notes:
            yield Text("\n".join(notes))
        if omitted:
            yield Text(f"not shown on fewer than {WIDE} columns: {', '.join(omitted)}; see --format csv")


def _terminal(text: str) -> str:
    return "\n".join(map(visible, text.split(BREAK)))


def _fit_to_width(table: Table, columns: list[Column], console: Console, options: ConsoleOptions) -> Iterator[RichTable]:
    from rich.measure import Measurement

    unbounded = options.update(max_width=10_000)

    def fits(found: RichTable) -> bool:
        return Measurement.get(console, unbounded, found).maximum <= options.max_width

    first, rest = columns[:1], columns[1:]
    one_text = all(column.kind == "number" for column in rest)
    for width in (None, _NARROW):
        wide = _rich(table, columns, width=width)
        if not one_text or fits(wide):
            yield wide
            return
    start = 0
    while start < len(rest):
        tried = {stop: _rich(table, first + rest[start:stop], width=_NARROW, stacked=True) for stop in range(len(rest), start, -1)}
        stop = next((stop for stop, found in tried.items() if fits(found)), start + 1)
        yield tried[stop]
        start = stop


def _rich(table: Table, columns: Sequence[Column], *, width: int | None = None, stacked: bool = False) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    found = RichTable(box=box.SIMPLE_HEAD)
    for place, column in enumerate(columns):
        heading = column.full_heading if column.in_print or not stacked else column.full_heading.replace("/", "/\n")
        left = column.kind != "number"
        found.add_column(
            Text(heading),
            justify="left" if left else "right",
            overflow="fold",
            no_wrap=not left,
            max_width=width if place == 0 else None,
        )
    places = [table.columns.index(column) for column in columns]
    for section in table.sections:
        found.add_section()
        for row in section.rows:
            texts = [_rich_text(row[place], table.columns[place], stacked=stacked) for place in places]
            found.add_row(*texts, style="dim" if section.dim else None)
    return found


def _rich_text(cell: Cell, column: Column, *, stacked: bool) -> Text:
    from rich.text import Text

    text = Text(cell.text, style="bold" if cell.emphasis == "best" else cell.colour)
    if cell.marker:
        text.append(cell.marker if column.kind == "number" else f" {cell.marker}", style="not bold")
    if cell.interval:
        text.append(("\n" if stacked else " ") + cell.interval, style="not bold")
    return text


# ------------------------------------------------------------------------------------------------ Markdown


def to_markdown(tables: Sequence[Table]) -> str:
    """Render tables as Markdown, each under its title; the best number is bold, controls are labelled."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def _markdown(table: Table) -> str:
    table = map_texts(table, _one_line)
    rule = ["--:" if column.kind == "number" else ":--" for column in table.columns]
    rows = [[_markdown_text(column.full_heading) for column in table.columns], rule]
    for section in table.sections:
        for row in section.rows:
            texts = [_markdown_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            rows.append([texts[0] + (" *(control)*" if section.dim else ""), *texts[1:]])
    lines = ["| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows]
    notes = ["", "  \n".join(map(_markdown_text, table.notes))] if table.notes else []
    return "\n".join([f"### {_markdown_text(table.title)}", "", *lines, *notes])


def _markdown_cell(cell: Cell, column: Column) -> str:
    text = _code(cell.text) if column.kind == "name" else _markdown_text(cell.text)
    text = f"**{text}**" if cell.emphasis == "best" else text
    marker = cell.marker if column.kind == "number" else f" {cell.marker}".rstrip()
    return f"{text}{marker} {cell.interval}".rstrip()


def _one_line(text: str) -> str:
    return visible(text.replace(BREAK, " "))


def _markdown_text(text: str) -> str:
    r"""Escape tags, entities, links and code spans; other signs are left to be read in the source.

    >>> print(_markdown_text("a <b>, `c`, [d](e), &lt; <0.001 [1, 2]"))
    a &lt;b>, \`c\`, [d]\(e), &amp;lt; <0.001 [1, 2]
    """
    return _HTML.sub("&lt;", _ENTITY.sub("&amp;", text)).replace("`", "\\`").replace("](", "]\\(")


def _code(text: str) -> str:
    """Return a code span with more backticks than a run of them in the text.

    >>> _code("gradcam"), _code("a`b")
    ('`gradcam`', '`` a`b ``')
    """
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


# ------------------------------------------------------------------------------------------------ LaTeX


def to_latex(tables: Sequence[Table], *, intervals: bool = False) -> str:
    r"""Render tables as LaTeX, split by page; the best number is bold, the second underlined.

    The preamble needs `\usepackage{booktabs}`, `\usepackage{graphicx}` and `\usepackage[T1]{fontenc}`. A table wider than the
    page is scaled down.

    Args:
        tables: the tables.
        intervals: whether to print the interval after each number.
    """
    return "\n".join(_latex(part, intervals=intervals) for table in tables for part in _pages(table))


def _pages(table: Table) -> Iterator[Table]:
    """Split a table into parts of `_PAGE` rows."""
    rows = [(section.dim, row) for section in table.sections for row in section.rows]
    for start in range(0, max(1, len(rows)), _PAGE):
        part = rows[start : start + _PAGE]
        sections = tuple(Section(tuple(row for dim, row in part if dim == wanted), dim=wanted) for wanted in (False, True))
        title = f"{table.title}, continued" if start else table.title
        yield Table(title, table.columns, tuple(filter(lambda section: section.rows, sections)), table.notes, table.print_notes)


def _latex(table: Table, *, intervals: bool) -> str:
    table = map_texts(table, _one_line)
    places = [place for place, column in enumerate(table.columns) if column.in_print]
    columns = [table.columns[place] for place in places]
    heading = " & ".join(_latex_heading(column, stacked=len(columns) > _SIDE_BY_SIDE) for column in columns)
    notes = table.notes if table.print_notes is None else table.print_notes
    lines = [
        PREAMBLE,
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escape(' '.join([f'{table.title}.', *notes]))}}}",
        r"  \medskip",
        f"  {_FIT}",
        f"  \\begin{{tabular}}{{{''.join('r' if column.kind == 'number' else 'l' for column in columns)}}}",
        r"    \toprule",
        f"    {heading} \\\\",
    ]
    for section in table.sections:
        texts = [[_latex_cell(row[place], table.columns[place], intervals=intervals) for place in places] for row in section.rows]
        lines += [r"    \midrule", *(f"    {' & '.join(row)} \\\\" for row in texts)]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}", ""])


def _latex_heading(column: Column, *, stacked: bool) -> str:
    if stacked and column.unit:
        return f"\\shortstack[r]{{{escape(column.heading)}\\\\{escape(column.unit)}}}"
    return escape(column.full_heading)


def _latex_cell(cell: Cell, column: Column, *, intervals: bool) -> str:
    write: Callable[[str], str] = number if column.kind == "number" else escape
    command = {"best": "textbf", "second": "underline", "": ""}[cell.emphasis]
    text = f"\\{command}{{{write(cell.text)}}}" if command else write(cell.text)
    follows = f" {{\\scriptsize {number(cell.interval)}}}" if intervals and cell.interval else ""
    hangs = cell.marker == DAGGER and column.kind == "number" and not follows  # beside the column, so digits stay aligned
    return text + (f"\\rlap{{{escape(cell.marker)}}}" if hangs else escape(cell.marker)) + follows
