"""A reproduced table as text: ours beside the paper's, cell by cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camdbench.papers.recipe import Exhibit
from camdbench.papers.verdict import Line

if TYPE_CHECKING:
    from rich.console import Group

HEADINGS = ("data set", "model", "method", "metric", "ours", "95 % interval", "paper", "difference", "verdict")
_COLOURS = {"agrees": "green", "differs": "red", "not run": "dim", "scaled": "cyan"}


@dataclass(frozen=True)
class Written:
    """A reproduced table, ready to be printed.

    Attributes:
        title: the paper and the table.
        lines: texts under `HEADINGS`, one tuple per cell.
        notes: why cells were not run, by number, and the footnotes of the recipe.
    """

    title: str
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def written(exhibit: Exhibit, lines: Sequence[Line]) -> Written:
    """Texts of every cell; reasons are numbered and stand below."""
    reasons = list(dict.fromkeys(line.reason for line in lines if line.reason))
    cells = tuple((*line.printed.labels, *_texts(line), _verdict(line, reasons)) for line in lines)
    notes = tuple(f"({number}) {reason}" for number, reason in enumerate(reasons, start=1))
    counts = ", ".join(f"{sum(line.verdict == verdict for line in lines)} {verdict}" for verdict in dict.fromkeys(x.verdict for x in lines))
    return Written(
        f"{exhibit.recipe.exhibit} · {exhibit.recipe.paper}", cells, (*notes, *exhibit.recipe.notes, f"{len(lines)} cells: {counts}")
    )


def _texts(line: Line) -> tuple[str, str, str, str]:
    digits = max(0, -int(line.printed.number.as_tuple().exponent)) if line.printed.number is not None else 2
    printed = line.printed.value + (f" ± {line.printed.std}" if line.printed.std else "")
    interval = "" if math.isnan(line.ours.low) else f"[{line.ours.low:.{digits}f}, {line.ours.high:.{digits}f}]"
    difference = "" if math.isnan(line.difference) or line.verdict == "scaled" else f"{line.difference:+.{digits}f}"
    return _number(line.ours.value, digits), interval, printed or "—", difference


def _number(value: float, digits: int) -> str:
    return "—" if math.isnan(value) else f"{value:.{digits}f}"


def _verdict(line: Line, reasons: Sequence[str]) -> str:
    return f"{line.verdict} ({reasons.index(line.reason) + 1})" if line.reason else line.verdict


def to_console(table: Written) -> Group:
    """The table for a terminal: a block per data set and model, the verdicts coloured."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    blocks = list[Any]()
    compared = any(line[7] for line in table.lines)
    columns = [place for place in range(2, len(HEADINGS)) if compared or place != 7]
    for key in dict.fromkeys(line[:2] for line in table.lines):
        block = Table(title=Text(" · ".join(key)), box=box.SIMPLE_HEAD)
        for place in columns:
            words, numbers = place in (2, 3), 3 < place < 8
            block.add_column(
                HEADINGS[place], justify="right" if numbers else "left", no_wrap=not words, overflow="fold", min_width=8 if words else None
            )
        method = ""
        for line in (line for line in table.lines if line[:2] == key):
            texts = [Text("" if place == 2 and line[2] == method else line[place]) for place in columns]
            texts[-1].stylize(_COLOURS.get(line[-1].partition(" (")[0], ""))
            block.add_row(*texts)
            method = line[2]
        blocks.append(block)
    return Group(Text(table.title, style="bold"), *blocks, *(Text(note, style="dim") for note in table.notes))


def to_markdown(table: Written) -> str:
    """The table as Markdown, with its notes."""
    rows = [HEADINGS, *table.lines]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    rule = "|" + "|".join([":--"] * 4 + ["--:"] * 4 + [":--"]) + "|"
    return "\n".join([f"### {table.title}", "", text[0], rule, *text[1:], "", *(f"- {note}" for note in table.notes)]) + "\n"


def to_latex(table: Written) -> str:
    r"""The table as LaTeX, one for each data set and network, which name the reasons that they refer to; the last has the other notes.

    The preamble is that of `tables.latex.to_latex`.
    """
    import pandas as pd

    from camdbench.tables import listing

    reasons = tuple(note for note in table.notes if note.startswith("("))
    keys = list(dict.fromkeys(line[:2] for line in table.lines))
    found = list[listing.Listing]()
    for key in keys:
        own = [line[2:] for line in table.lines if line[:2] == key]
        used = [note for note in reasons if any(line[-1].endswith(f" {note.split()[0]}") for line in own)]
        notes = (*used, *(table.notes[len(reasons) :] if key == keys[-1] else ()))
        words = ("method", "metric", "verdict")
        found.append(
            listing.Listing(" · ".join([table.title, *key]), pd.DataFrame(own, columns=list(HEADINGS[2:])), words, notes=_sentences(notes))
        )
    return listing.to_latex(found)


def _sentences(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(note if note.endswith(".") else f"{note}." for note in notes)


def to_records(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """One object per cell, numbers unrounded; what is not there is None."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "dataset": line.printed.dataset,
            "model": line.printed.model,
            "method": line.printed.method,
            "metric": line.printed.metric,
            "ours": finite(line.ours.value),
            "ci_low": finite(line.ours.low),
            "ci_high": finite(line.ours.high),
            "images": line.ours.n,
            "seeds": line.ours.seeds,
            "paper": line.printed.value or None,
            "paper_std": line.printed.std or None,
            "difference": None if line.verdict == "scaled" else finite(line.difference),
            "verdict": line.verdict,
            "reason": line.reason,
        }
        for line in lines
    ]


def to_csv(lines: Sequence[Line]) -> str:
    """The same as CSV, numbers to ten digits."""
    records = to_records(lines)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.10g}" if isinstance(value, float) else value for name, value in record.items()} for record in records)
    return stream.getvalue()
