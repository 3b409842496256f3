"""Tables of a summary: one per model, data set, split and target rule."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.facts import arrow
from camdbench.core.registries import NO_EXPLAINER, is_unstable
from camdbench.core.spec import parse_spec
from camdbench.tables.latex_text import superscript
from camdbench.tables.table import DAGGER, Cell, Column, Section, Table
from camdbench.tables.ties import tie_tolerance, tied

ALPHA = 0.05
_NOT_SIGNIFICANT = (
    f"{DAGGER} not significantly different from the best: paired permutation test, Holm-corrected within each metric, {ALPHA:.0%}."
)
_COUNTS = (
    ("failed", "n_failed"),
    ("not applicable", "n_not_applicable"),
    ("undefined", "n_undefined"),
    ("constant", "n_constant"),
)
_USAGE = (("passes/image", "passes_per_image"), ("s/image", "seconds_per_image"))


class MetricColumn(NamedTuple):
    """A metric under a protocol."""

    metric: str
    protocol: str
    unit: str
    higher_is_better: bool | None

    @property
    def direction(self) -> str:
        """Arrow towards better values, if a direction is stated, and unit."""
        return arrow(self.higher_is_better, self.unit)

    @property
    def heading(self) -> str:
        """Metric with direction and unit.

        >>> MetricColumn("ad", "opticam", "%", higher_is_better=False).heading
        'ad ↓ %'
        """
        return f"{self.metric} {self.direction}".rstrip()


@dataclass(frozen=True)
class SummaryGroup:
    """Rows of a summary that form a table: the explainers of one model on one split, or models without explainer.

    Attributes:
        heads: heading of the first column: `explainer`, or `model` if models are compared; the names are in the column
            `explainer` of `lines`.
        model: name of the model; empty if models are compared.
        place: data set, split and target rule.
        lines: rows of the summary.
    """

    heads: str
    model: str
    place: tuple[str, str, str]
    lines: pd.DataFrame

    @cached_property
    def unstable(self) -> set[str]:
        """Explainers that amplify rounding: their last printed digit would depend on batch size and processor."""
        return unstable_names(self.lines["explainer"]) if self.heads == "explainer" else set()

    @property
    def title(self) -> str:
        """Model, data set and split, target rule."""
        dataset, split, target_rule = self.place
        if self.heads == "model":
            return f"models · {dataset} {split}"
        objective = f" · objective: {self.lines['objective'].iloc[0]}" if "objective" in self.lines else ""
        return f"{self.model} · {dataset} {split} · target: {target_rule}{objective}"

    @cached_property
    def columns(self) -> list[MetricColumn]:
        """Metrics, in the order of the summary."""
        lines = self.lines[list(MetricColumn._fields)].drop_duplicates().itertuples(index=False, name=None)
        return [MetricColumn(name, protocol, unit, None if pd.isna(rises) else bool(rises)) for name, protocol, unit, rises in lines]

    @cached_property
    def cells(self) -> dict[tuple[str, MetricColumn], dict[Any, Any]]:
        """Rows by explainer and column; unfinished jobs are missing."""
        columns = {(column.metric, column.protocol): column for column in self.columns}
        return {(line["explainer"], columns[line["metric"], line["protocol"]]): line for line in self.lines.to_dict("records")}

    @cached_property
    def tied(self) -> dict[str, str]:
        """Tie letter of each explainer, empty without a tie; in the order of the summary."""
        return dict(self.lines.drop_duplicates("explainer")[["explainer", "tie_group"]].itertuples(index=False, name=None))

    def explainers(self, *, control: bool) -> list[str]:
        """Return the controls, or the other explainers."""
        return list(self.lines.loc[self.lines["is_control"] == control, "explainer"].unique())

    def places(self, column: MetricColumn) -> dict[str, int]:
        """Return the best (1) and second (2) explainers of a column; ties share a place, controls are not ranked.

        A single explainer is not ranked either, nor a metric without direction.
        """
        if column.higher_is_better is None:
            return {}
        means = {name: self.cells[name, column]["mean"] for name in self.explainers(control=False) if (name, column) in self.cells}
        means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
        tolerance, places = tie_tolerance(column.unit, np.array(list(means.values()))), dict[str, int]()
        for place in (1, 2) if len(means) > 1 else ():
            if left := {name: mean for name, mean in means.items() if name not in places}:
                best = (max if column.higher_is_better else min)(left.values())
                first = {name for name, ties in zip(left, tied(np.array(list(left.values())), best, tolerance), strict=True) if ties}
                letters = {self.tied[name] for name in first} - {""}
                places |= {name: place for name in left if name in first or self.tied[name] in letters}
        return places


def unstable_names(explainers: Iterable[str]) -> set[str]:
    """Explainers, by spec, that amplify rounding with their options; names that are no specs do not."""
    found = set[str]()
    for name in set(explainers):
        with suppress(UsageError):
            found |= {name} if is_unstable(parse_spec(name)) else set()
    return found


def fewer_digits(unstable: Collection[str]) -> tuple[str, ...]:
    """The note below a table that prints fewer digits for some explainers; none without any.

    >>> fewer_digits(["b", "a"])
    ('Fewer digits: a, b; rounding is amplified, so that further ones depend on batch size and processor.',)
    """
    names = ", ".join(sorted(unstable))
    return (f"Fewer digits: {names}; rounding is amplified, so that further ones depend on batch size and processor.",) if names else ()


def summary_groups(summary: pd.DataFrame) -> Iterator[SummaryGroup]:
    """Split a summary into the groups of its tables."""
    alone = summary["explainer"] == str(NO_EXPLAINER)
    place = ["dataset", "split", "target_rule"]
    for (model, *where), lines in summary[~alone].groupby(["model", *place], sort=False):
        yield SummaryGroup("explainer", str(model), (str(where[0]), str(where[1]), str(where[2])), lines)
    models = summary[alone].assign(explainer=summary["model"], tie_group="", passes_per_image=math.nan, seconds_per_image=math.nan)
    for where, lines in models.groupby(place, sort=False):
        yield SummaryGroup("model", "", (str(where[0]), str(where[1]), str(where[2])), lines)


def summary_tables(summary: pd.DataFrame) -> list[Table]:
    """Format a summary as tables: the best explainer bold, the second underlined, controls in a separate section.

    With the column `vs_best`, a dagger marks values not significantly different from the best.
    """
    return [_table(group) for group in summary_groups(summary)]


def _table(group: SummaryGroup) -> Table:
    counts = _counts(group)
    columns = (
        Column("name", group.heads, "name"),
        *(Column(column.metric, column.metric, "number", unit=column.direction) for column in group.columns),
        *(Column(heading, heading, "number", in_print=False) for heading in counts),
    )
    places = {column: group.places(column) for column in group.columns}
    sections = list[Section]()
    for control in (False, True):
        rows = [
            (
                Cell(name, marker=superscript(group.tied[name])),
                *(
                    _cell(group.cells.get((name, column)), places[column].get(name, 0), digits_less=int(name in group.unstable))
                    for column in group.columns
                ),
                *(Cell(texts[name]) for texts in counts.values()),
            )
            for name in group.explainers(control=control)
        ]
        sections += [Section(tuple(rows), dim=control)] if rows else []
    return Table(group.title, columns, tuple(sections), *_notes(group))


def _cell(line: dict[Any, Any] | None, place: int, *, digits_less: int = 0) -> Cell:
    if line is None:
        return Cell("—")
    mean, low, high = (_number(line[name], line["unit"], digits_less) for name in ("mean", "ci_low", "ci_high"))
    return Cell(
        mean,
        interval="" if math.isnan(line["ci_low"]) else f"[{low}, {high}]",
        emphasis="best" if place == 1 else "second" if place == 2 else "",
        marker=DAGGER if line.get("vs_best") == "not_significant" else "",
    )


def _number(number: float, unit: str, digits_less: int = 0) -> str:
    """Format with one decimal in per cent, three otherwise, less those without meaning; an em dash for NaN.

    >>> _number(12.345, "%"), _number(12.345, "%", 1), _number(0.12345, ""), _number(0.12345, "nats"), _number(math.nan, "")
    ('12.3', '12', '0.123', '0.123', '—')
    """
    return "—" if math.isnan(number) else f"{number:.{(1 if unit == '%' else 3) - digits_less}f}"


def _notes(group: SummaryGroup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes for the terminal and for LaTeX: images, protocols, controls, ties, daggers, untested metrics."""
    protocols, ties = dict[str, list[str]](), dict[str, list[str]]()
    for column in group.columns:
        protocols.setdefault(column.protocol, []).append(column.metric)
    for name, letter in group.tied.items():
        if letter:
            ties.setdefault(letter, []).append(name)
    used = "; ".join(f"{', '.join(names)}: {protocol}" for protocol, names in protocols.items())
    tied = [f"{superscript(letter)} {' = '.join(names)} on every image" for letter, names in ties.items()]
    controls, n = group.explainers(control=True), group.lines["n"]
    images = f"{n.min()} image{'' if n.min() == 1 else 's'}" if n.min() == n.max() else "the images that each line counts"
    unranked = [f"Controls (not ranked): {', '.join(controls)}."] if controls else []
    tests = [*_tests(group.lines), *fewer_digits(group.unstable)]
    screen = (f"Over {images} [95 % bootstrap interval]. Protocols: {used}.", *unranked, *tied, *tests)
    missing = [f"{most} {word}" for word, name in _COUNTS[:2] if (most := int(group.lines[name].max()))]
    without = f" (up to {', '.join(missing)})" if missing else ""
    return screen, (f"Over {span(n)} image{'' if n.max() == 1 else 's'}{without}.", *(f"{tie}." for tie in tied), *tests)


def _tests(lines: pd.DataFrame) -> list[str]:
    """Explain daggers and name untested metrics; empty without tests."""
    if "vs_best" not in lines:
        return []
    names = ", ".join(lines.loc[lines["vs_best"] == "untested", "metric"].unique())
    without = [f"Not tested against the best: {names}."] if names else []
    return [_NOT_SIGNIFICANT, *without] if "not_significant" in set(lines["vs_best"]) else without


def _counts(group: SummaryGroup) -> dict[str, dict[str, str]]:
    """Further columns, heading -> explainer -> text: number of images if it differs, failures, constant maps, usage."""
    by_explainer = group.lines.groupby("explainer", sort=False)
    n = group.lines["n"]
    columns = {} if n.min() == n.max() else {"images": by_explainer["n"].agg(span)}
    for heading, name in _COUNTS:
        if group.lines[name].any():
            columns[heading] = by_explainer[name].max().astype(str)
    for heading, name in _USAGE:
        if group.lines[name].notna().any():
            columns[heading] = by_explainer[name].first().map(_format_usage)
    return {heading: {str(name): str(text) for name, text in texts.items()} for heading, texts in columns.items()}


def _format_usage(number: float) -> str:
    """Format with three digits, without exponent.

    >>> [_format_usage(number) for number in (4001.0, 2.0, 0.01234, 0.00002, 0.0, math.nan)]
    ['4001', '2', '0.0123', '<0.001', '0', '—']
    """
    if math.isnan(number):
        return "—"
    if 0 < number < 0.001:
        return "<0.001"
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def span(counts: pd.Series) -> str:
    """Format the common count, or the smallest and the largest.

    >>> span(pd.Series([8, 8])), span(pd.Series([8, 6]))
    ('8', '6–8')
    """
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
