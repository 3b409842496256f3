"""What every rendering of a summary shares: blocks, places, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from camdbench.core.catalogue import NO_EXPLAINER
from camdbench.tables.cells import KEY

SUMMARY_COLUMNS = (
    *KEY,
    *("mean", "ci_low", "ci_high", "n", "n_failed", "n_undefined", "n_constant"),
    *("higher_is_better", "unit", "passes_per_image", "seconds_per_image", "control", "tied"),
)
DAGGER, ALPHA = "†", 0.05
_ALIKE = f"{DAGGER} not significantly different from the best: paired permutation test, Holm-corrected within each metric, {ALPHA:.0%}."
_SUPERSCRIPT = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


@dataclass(frozen=True)
class Cell:
    """One line of the summary, ready to be written.

    Attributes:
        mean: its number.
        low: the lower end of its interval.
        high: the upper end.
        unit: unit of the metric.
        alike: whether a test does not tell it from the best.
    """

    mean: float
    low: float
    high: float
    unit: str
    alike: bool = False

    @property
    def value(self) -> str:
        """The mean: one decimal in per cent, three otherwise; an em dash where there is none.

        >>> Cell(12.345, 10.06, 14.5, "%").value, Cell(math.nan, math.nan, math.nan, "").value
        ('12.3', '—')
        """
        return self._write(self.mean)

    @property
    def interval(self) -> str:
        """The interval in brackets, empty where there is none.

        >>> Cell(12.345, 10.06, 14.5, "%").interval
        '[10.1, 14.5]'
        """
        return "" if math.isnan(self.low) else f"[{self._write(self.low)}, {self._write(self.high)}]"

    def _write(self, number: float) -> str:
        return "—" if math.isnan(number) else f"{number:.{1 if self.unit == '%' else 3}f}"


@dataclass(frozen=True)
class Column:
    """One metric under one protocol."""

    metric: str
    protocol: str
    unit: str
    higher_is_better: bool

    @property
    def heading(self) -> str:
        """The metric with an arrow towards the better values, and its unit.

        >>> Column("ad", "opticam", "%", higher_is_better=False).heading
        'ad ↓ %'
        """
        return f"{self.metric} {'↑' if self.higher_is_better else '↓'} {self.unit}".rstrip()


@dataclass(frozen=True)
class Block:
    """The part of a summary that stands in one table: the explainers of one model on one split, or the models themselves.

    Attributes:
        heads: what stands at the head of a line: `explainer`, or `model` where models alone are compared; the column
            `explainer` of `lines` holds either.
        model: name of the model; empty where models are compared.
        dataset: spec of the data set.
        split: its split.
        target_rule: how the explained class was chosen.
        lines: the part of the summary.
    """

    heads: str
    model: str
    dataset: str
    split: str
    target_rule: str
    lines: pd.DataFrame

    @property
    def title(self) -> str:
        """Model, data set and split, target rule."""
        if self.heads == "model":
            return f"models · {self.dataset} {self.split}"
        return f"{self.model} · {self.dataset} {self.split} · target: {self.target_rule}"

    @cached_property
    def columns(self) -> list[Column]:
        """The metrics, in the order of the summary."""
        facts = self.lines.drop_duplicates(["metric", "protocol"]).to_dict("records")
        return [Column(line["metric"], line["protocol"], line["unit"], higher_is_better=line["higher_is_better"]) for line in facts]

    @cached_property
    def cells(self) -> dict[tuple[str, Column], Cell]:
        """The cells by explainer and column; a job that is not finished has none."""
        columns = {(column.metric, column.protocol): column for column in self.columns}
        return {
            (line["explainer"], columns[line["metric"], line["protocol"]]): Cell(
                line["mean"], line["ci_low"], line["ci_high"], line["unit"], line.get("against_best") == "alike"
            )
            for line in self.lines.to_dict("records")
        }

    @cached_property
    def tied(self) -> dict[str, str]:
        """The tie letter of each explainer, empty where it is tied to none; explainers in the order of the summary."""
        return dict(self.lines.drop_duplicates("explainer")[["explainer", "tied"]].itertuples(index=False, name=None))

    def explainers(self, *, control: bool) -> list[str]:
        """The controls, or the methods under test."""
        return list(self.lines.loc[self.lines["control"] == control, "explainer"].unique())

    def places(self, column: Column) -> dict[str, int]:
        """Which methods come first (1) and second (2) in a column; tied ones share a place, controls have none.

        A method without rivals has no place either.
        """
        means = {name: self.cells[name, column].mean for name in self.explainers(control=False) if (name, column) in self.cells}
        means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
        places = dict[str, int]()
        for place in (1, 2) if len(means) > 1 else ():
            if left := {name: mean for name, mean in means.items() if name not in places}:
                best = (max if column.higher_is_better else min)(left.values())
                first = {name for name, mean in left.items() if mean == best}
                letters = {self.tied[name] for name in first} - {""}
                places |= {name: place for name in left if name in first or self.tied[name] in letters}
        return places

    @cached_property
    def notes(self) -> list[str]:
        """What the reader must know beside the numbers: protocols, controls, ties."""
        protocols = dict[str, list[str]]()
        for column in self.columns:
            protocols.setdefault(column.protocol, []).append(column.metric)
        used = "; ".join(f"{', '.join(names)}: {protocol}" for protocol, names in protocols.items())
        groups = dict[str, list[str]]()
        for name, letter in self.tied.items():
            if letter:
                groups.setdefault(letter, []).append(name)
        ties = [f"{superscript(letter)} {' = '.join(names)} on every image" for letter, names in groups.items()]
        controls = self.explainers(control=True)
        apart = [f"Controls, which have no place: {', '.join(controls)}."] if controls else []
        images = f"{self.images} images" if self.images is not None else "images"
        return [f"Over {images} [95 % bootstrap interval]. Protocols: {used}.", *apart, *ties, *self.tests]

    @cached_property
    def tests(self) -> list[str]:
        """What daggers mean and which metrics have no test; nothing where no test was asked for."""
        if "against_best" not in self.lines:
            return []
        names = ", ".join(self.lines.loc[self.lines["against_best"] == "untested", "metric"].unique())
        without = [f"Not tested against the best: {names}."] if names else []
        return [_ALIKE, *without] if "alike" in set(self.lines["against_best"]) else without

    @cached_property
    def images(self) -> int | None:
        """The number of images behind every cell, None where cells differ."""
        counts = self.lines["n"].unique()
        return int(counts[0]) if len(counts) == 1 else None

    @cached_property
    def counts(self) -> dict[str, dict[str, str]]:
        """Further columns, heading -> explainer -> text: images where cells differ, failures, constant maps, costs."""
        by_explainer = self.lines.groupby("explainer", sort=False)
        columns = {} if self.images is not None else {"images": by_explainer["n"].agg(span)}
        for heading, name in (("failed", "n_failed"), ("undefined", "n_undefined"), ("constant", "n_constant")):
            if self.lines[name].any():
                columns[heading] = by_explainer[name].max().astype(str)
        for heading, name in (("passes/image", "passes_per_image"), ("s/image", "seconds_per_image")):
            if self.lines[name].notna().any():
                columns[heading] = by_explainer[name].first().map(_cost)
        return {heading: {str(name): str(text) for name, text in texts.items()} for heading, texts in columns.items()}


def blocks(summary: pd.DataFrame) -> Iterator[Block]:
    """Cut a summary into tables, in its own order."""
    alone = summary["explainer"] == str(NO_EXPLAINER)
    for key, lines in summary[~alone].groupby(["model", "dataset", "split", "target_rule"], sort=False):
        model, dataset, split, target_rule = (str(part) for part in key)
        yield Block("explainer", model, dataset, split, target_rule, lines)
    models = summary[alone].assign(explainer=summary["model"], tied="", passes_per_image=math.nan, seconds_per_image=math.nan)
    for key, lines in models.groupby(["dataset", "split", "target_rule"], sort=False):
        dataset, split, target_rule = (str(part) for part in key)
        yield Block("model", "", dataset, split, target_rule, lines)


def superscript(letters: str) -> str:
    """A tie label as raised letters.

    >>> superscript("ab")
    'ᵃᵇ'
    """
    return letters.translate(_SUPERSCRIPT)


def _cost(number: float) -> str:
    """Three digits, never with an exponent.

    >>> [_cost(number) for number in (4001.0, 2.0, 0.01234, 0.00002, 0.0, math.nan)]
    ['4001', '2', '0.0123', '<0.001', '0', '—']
    """
    if math.isnan(number):
        return "—"
    if 0 < number < 0.001:
        return "<0.001"
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def span(counts: pd.Series) -> str:
    """What counts are: the one that all are, or the least and the largest.

    >>> span(pd.Series([8, 8])), span(pd.Series([8, 6]))
    ('8', '6–8')
    """
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
