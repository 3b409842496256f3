"""Tables of a report that need no script: results and failures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from camdbench.tables.cell_values import STATUSES, Cells
from camdbench.tables.render import render
from camdbench.tables.summary_tables import SummaryGroup, summary_groups, summary_tables
from camdbench.tables.table import Table

_FEW = 8  # images that a failure names


@dataclass(frozen=True)
class ResultCell:
    """A cell of the headline table.

    Attributes:
        text: the mean as the terminal prints it.
        interval: the interval in brackets; empty without one.
        marker: a dagger, or a raised letter of a tie.
        emphasis: `best`, `second` or empty.
        value: the mean; NaN without one. The page sorts by it.
        about: numbers of images by status, protocol and its hash, in words.
    """

    text: str
    interval: str
    marker: str
    emphasis: str
    value: float
    about: str


@dataclass(frozen=True)
class ResultTable:
    """The headline table of one model.

    Attributes:
        table: texts as the terminal prints them.
        ranked: rows of explainers: name and cells.
        controls: rows of controls.
        directions: by column of `table`: `ascending` if lower is better, `descending` if higher is, empty otherwise.
    """

    table: Table
    ranked: list[tuple[str, list[ResultCell]]]
    controls: list[tuple[str, list[ResultCell]]]
    directions: list[str]


def result_tables(summary: pd.DataFrame, label: str = "") -> list[ResultTable]:
    """Return the headline tables of a summary; `label` is put before their titles."""
    pairs = zip(summary_groups(summary), summary_tables(summary), strict=True)
    return [_result_table(group, replace(table, title=label + table.title)) for group, table in pairs]


def copies_of(summary: pd.DataFrame) -> list[dict[str, str]]:
    """Return the texts of each headline table by format: those of `camdbench summarise --format`."""
    pairs = zip(summary_groups(summary), summary_tables(summary), strict=True)
    forms: dict[str, Literal["csv", "markdown", "latex"]] = {"CSV": "csv", "Markdown": "markdown", "LaTeX": "latex"}
    return [{name: render([table], group.lines, form) for name, form in forms.items()} for group, table in pairs]


def _result_table(group: SummaryGroup, table: Table) -> ResultTable:
    rows = {False: list[tuple[str, list[ResultCell]]](), True: list[tuple[str, list[ResultCell]]]()}
    by_dim = {section.dim: section for section in table.sections}
    for control, section in by_dim.items():
        for name, cells in zip(group.explainers(control=control), section.rows, strict=True):
            lines = [group.cells.get((name, column)) for column in group.columns]
            lines += [None] * (len(cells) - 1 - len(lines))
            own = [_cell(cell.text, cell.interval, cell.marker, cell.emphasis, line) for cell, line in zip(cells[1:], lines, strict=True)]
            first = ResultCell(cells[0].text, "", cells[0].marker, "", math.nan, "")
            rows[control].append((name, [first, *own]))
    ways = {True: "descending", False: "ascending", None: ""}
    directions = ["", *(ways[column.higher_is_better] for column in group.columns)]
    directions += [""] * (len(table.columns) - len(directions))
    return ResultTable(table, rows[False], rows[True], directions)


def _cell(text: str, interval: str, marker: str, emphasis: str, line: Mapping[Any, Any] | None) -> ResultCell:
    if line is None:
        number = float(text) if text.replace(".", "", 1).isdecimal() else math.nan
        return ResultCell(text, interval, marker, emphasis, number, "")
    counts = [f"{line[name]} {word}" for name, word in _COUNTS.items() if line[name]]
    about = f"{line['n']} images{''.join(f', {count}' for count in counts)}; protocol {line['protocol']}"
    return ResultCell(text, interval, marker, emphasis, float(line["mean"]), about)


_COUNTS = {"n_failed": "failed", "n_undefined": "undefined", "n_not_applicable": "not applicable", "n_constant": "with a constant map"}


@dataclass(frozen=True)
class Failure:
    """Values of one kind that are missing, or of constant maps.

    Attributes:
        status: status of the rows.
        model: name of the model.
        explainer: its spec.
        reason: the reason; empty for constant maps.
        count: number of images.
        images: the first of them.
    """

    status: str
    model: str
    explainer: str
    reason: str
    count: int
    images: tuple[str, ...]


def failures(missing: pd.DataFrame, cells: Cells) -> list[Failure]:
    """Group missing values by status, model, explainer and reason; constant maps follow.

    Args:
        missing: output of `load_missing`.
        cells: cells of the run.
    """
    found = list[Failure]()
    names = ["status", "model", "explainer", "reason"]
    for key, rows in missing.groupby(names, sort=False)["image"]:
        images = list(dict.fromkeys(rows))
        status, model, explainer, reason = map(str, cast("tuple[str, ...]", key))
        found.append(Failure(status, model, explainer, reason, len(images), tuple(images[:_FEW])))
    order = {name: place for place, name in enumerate(("error", "undefined", "not_applicable"))}
    found.sort(key=lambda own: order.get(own.status, len(order)))
    return [*found, *_constant(cells)]


def _constant(cells: Cells) -> Iterator[Failure]:
    is_constant = cells.status == STATUSES.index("constant_map")
    for key, rows in cells.keys.groupby(["model", "explainer"], sort=False).indices.items():
        model, explainer = map(str, cast("tuple[str, str]", key))
        if len(places := np.flatnonzero(is_constant[rows].any(0))):
            names = tuple(cells.images[place] for place in places[:_FEW])
            yield Failure("constant_map", model, explainer, "", len(places), names)
