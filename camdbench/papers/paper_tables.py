"""A reproduced table: our value beside the paper's, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from camdbench.papers.agreement import CellComparison
from camdbench.papers.table_recipe import PaperTable
from camdbench.tables.table import Cell, Column, Section, Table

_COLUMNS = (
    Column("method", "method", "text"),
    Column("metric", "metric", "text"),
    Column("value", "value", "number"),
    Column("interval", "95 % interval", "number"),
    Column("paper", "paper", "number"),
    Column("difference", "difference", "number"),
    Column("agreement", "agreement", "text"),
)
_COLOURS = {"agrees": "green", "differs": "red", "not run": "dim", "small": "cyan"}


def paper_tables(table: PaperTable, lines: Sequence[CellComparison]) -> list[Table]:
    """A table per data set and network, with the numbered reasons that it refers to; the last has the notes of the recipe."""
    reasons = list(dict.fromkeys(line.reason for line in lines if line.reason))
    counts = ", ".join(
        f"{sum(line.agreement == agreement for line in lines)} {agreement}" for agreement in dict.fromkeys(x.agreement for x in lines)
    )
    keys = list(dict.fromkeys(line.printed.labels[:2] for line in lines))
    found = list[Table]()
    for key in keys:
        own = [line for line in lines if line.printed.labels[:2] == key]
        used = [f"({reasons.index(reason) + 1}) {reason}" for reason in dict.fromkeys(line.reason for line in own if line.reason)]
        notes = (*used, *((*table.recipe.notes, f"{len(lines)} cells: {counts}") if key == keys[-1] else ()))
        title = " · ".join([table.recipe.table, table.recipe.paper, *key])
        rows = tuple(_row(line, reasons) for line in own)
        found.append(Table(title, _COLUMNS, (Section(rows),), notes, tuple(_sentence(note) for note in notes)))
    return found


def _row(line: CellComparison, reasons: Sequence[str]) -> tuple[Cell, ...]:
    digits = max(0, -int(line.printed.number.as_tuple().exponent)) if line.printed.number is not None else 2
    printed = line.printed.value + (f" ± {line.printed.std}" if line.printed.std else "")
    value = "—" if math.isnan(line.ours.value) else f"{line.ours.value:.{digits}f}"
    interval = "" if math.isnan(line.ours.low) else f"[{line.ours.low:.{digits}f}, {line.ours.high:.{digits}f}]"
    difference = "" if math.isnan(line.difference) or line.agreement == "small" else f"{line.difference:+.{digits}f}"
    agreement = f"{line.agreement} ({reasons.index(line.reason) + 1})" if line.reason else line.agreement
    texts = (*line.printed.labels[2:], value, interval, printed or "—", difference)
    return (*map(Cell, texts), Cell(agreement, colour=_COLOURS.get(line.agreement, "")))


def _sentence(note: str) -> str:
    return note if note.endswith(".") else f"{note}."


def paper_data(lines: Sequence[CellComparison]) -> pd.DataFrame:
    """One line per cell, numbers unrounded; NaN or None if there is no value."""
    records = [
        {
            "dataset": line.printed.dataset,
            "model": line.printed.model,
            "method": line.printed.method,
            "metric": line.printed.metric,
            "value": line.ours.value,
            "ci_low": line.ours.low,
            "ci_high": line.ours.high,
            "n": line.ours.n,
            "seeds": line.ours.seeds,
            "paper": line.printed.value or None,
            "paper_std": line.printed.std or None,
            "difference": math.nan if line.agreement == "small" else line.difference,
            "agreement": line.agreement,
            "reason": line.reason,
        }
        for line in lines
    ]
    return pd.DataFrame.from_records(records)
