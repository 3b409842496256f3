"""Reproduced tables: measured values beside the paper's."""

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


EMBEDDED = "embedded networks and data, not those of the paper"  # heads what `--small` prints


def paper_tables(table: PaperTable, lines: Sequence[CellComparison]) -> list[Table]:
    """A table per data set and network with its numbered reasons; the last has the recipe's notes. `EMBEDDED` heads those of `--small`."""
    reasons = list(dict.fromkeys(line.reason for line in lines if line.reason))
    counts = ", ".join(
        f"{sum(line.agreement == agreement for line in lines)} {agreement}" for agreement in dict.fromkeys(x.agreement for x in lines)
    )
    keys = list(dict.fromkeys(line.paper.labels[:2] for line in lines))
    found = list[Table]()
    for key in keys:
        own = [line for line in lines if line.paper.labels[:2] == key]
        used = [f"({reasons.index(reason) + 1}) {reason}" for reason in dict.fromkeys(line.reason for line in own if line.reason)]
        notes = (*used, *((*table.recipe.notes, f"{len(lines)} cells: {counts}") if key == keys[-1] else ()))
        embedded = [EMBEDDED] if any(line.agreement == "small" for line in lines) else []
        title = " · ".join([*embedded, table.recipe.table, table.recipe.paper, *key])
        rows = tuple(_row(line, reasons) for line in own)
        found.append(Table(title, _COLUMNS, (Section(rows),), notes, tuple(_sentence(note) for note in notes)))
    return found


def _row(line: CellComparison, reasons: Sequence[str]) -> tuple[Cell, ...]:
    digits = max(0, -int(line.paper.number.as_tuple().exponent)) if line.paper.number is not None else 2
    printed = line.paper.value + (f" ± {line.paper.std}" if line.paper.std else "")
    value = "—" if math.isnan(line.measured.value) else f"{line.measured.value:.{digits}f}"
    interval = "" if math.isnan(line.measured.low) else f"[{line.measured.low:.{digits}f}, {line.measured.high:.{digits}f}]"
    difference = "" if math.isnan(line.difference) or line.agreement == "small" else f"{line.difference:+.{digits}f}"
    agreement = f"{line.agreement} ({reasons.index(line.reason) + 1})" if line.reason else line.agreement
    texts = (*line.paper.labels[2:], value, interval, printed or "—", difference)
    return (*map(Cell, texts), Cell(agreement, colour=_COLOURS.get(line.agreement, "")))


def _sentence(note: str) -> str:
    return note if note.endswith(".") else f"{note}."


def paper_data(lines: Sequence[CellComparison]) -> pd.DataFrame:
    """One row per cell with unrounded numbers; NaN or None without a value."""
    records = [
        {
            "dataset": line.paper.dataset,
            "model": line.paper.model,
            "method": line.paper.method,
            "metric": line.paper.metric,
            "value": line.measured.value,
            "ci_low": line.measured.low,
            "ci_high": line.measured.high,
            "n": line.measured.n,
            "seeds": line.measured.seeds,
            "paper": line.paper.value or None,
            "paper_std": line.paper.std or None,
            "difference": math.nan if line.agreement == "small" else line.difference,
            "agreement": line.agreement,
            "reason": line.reason,
        }
        for line in lines
    ]
    return pd.DataFrame.from_records(records)
