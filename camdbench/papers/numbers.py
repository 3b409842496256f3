"""From the rows of runs to the number of each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from camdbench.papers.plan import Cell, Setting
from camdbench.papers.probing import FinishedProbe
from camdbench.papers.verdict import Measured
from camdbench.tables.load import load_curves, load_rows, load_run, load_usage
from camdbench.tables.summary import summarise

ACCURACY = "accuracy"


class Finished:
    """A run that is done, read once for all of its cells.

    Args:
        folder: the run directory.
        only: `misclassified` keeps those images, by the run's own accuracy.
    """

    def __init__(self, folder: Path, only: str | None = None) -> None:
        rows = load_rows(folder)
        if only is not None:
            right = rows[(rows["metric"] == ACCURACY) & (rows["value"] > 0)]["image"]
            rows = rows[~rows["image"].isin(right)].reset_index(drop=True)
        self.rows = rows
        self._summary = summarise(rows, about=load_run(folder), costs=load_usage(folder), points=load_curves(folder)) if len(rows) else None

    def measured(self, explainer: str, metric: str, *, cost: bool = False) -> Measured:
        """The number of one explainer and metric, or its seconds per image, with the interval over images."""
        if self._summary is None:
            return Measured(reason="no image is misclassified; take more images")
        found = self._summary[(self._summary["explainer"] == explainer) & (self._summary["metric"] == metric)]
        line = found.iloc[0]
        if math.isnan(line["seconds_per_image"] if cost else line["mean"]):
            return self._why_not(explainer, metric)
        if cost:
            return Measured(float(line["seconds_per_image"]), n=int(line["n"]))
        return Measured(float(line["mean"]), float(line["ci_low"]), float(line["ci_high"]), int(line["n"]))

    def _why_not(self, explainer: str, metric: str) -> Measured:
        own = self.rows[(self.rows["explainer"] == explainer) & (self.rows["metric"] == metric)]
        first = own[own["reason"] != ""].head(1)
        reason = str(first["reason"].iloc[0]) if len(first) else "the metric has no value on these images"
        return Measured(reason=reason, fault=bool((own["status"] == "error").any()))


def number_of(cell: Cell, finished: dict[tuple[Setting, str], Finished | FinishedProbe | str]) -> Measured:
    """Our number of a cell: that of its run, or the mean over its seeds.

    Args:
        cell: the cell.
        finished: by setting and explainer and metric, the run or probe that measured it, or why there is none.
    """
    if cell.reason:
        return Measured(reason=cell.reason)
    each = list[Measured]()
    for setting in cell.settings:
        run = finished[setting, key(cell.explainer, cell.metric)]
        if isinstance(run, str):
            return Measured(reason=run, fault=True)
        each.append(run.measured(cell.explainer, cell.metric, cost=cell.part.cost is not None))
    return _in_unit(each[0] if len(each) == 1 else over_seeds(each), cell.part.factor or 1.0)


def over_seeds(each: Sequence[Measured]) -> Measured:
    """The mean over networks of several seeds, with Student's interval of the mean; a network without a number leaves none.

    >>> found = over_seeds([Measured(1.0, n=5), Measured(2.0, n=5), Measured(3.0, n=5)])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3), found.seeds
    (2.0, -0.484, 4.484, 3)
    """
    from scipy import stats

    for one in each:
        if math.isnan(one.value):
            return one
    values = pd.Series([one.value for one in each])
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values)))
    middle = float(values.mean())
    return Measured(middle, middle - reach, middle + reach, each[0].n, len(each))


def key(explainer: str, metric: str) -> str:
    """What names a measurement within a setting."""
    return f"{explainer}|{metric}"


def _in_unit(found: Measured, factor: float) -> Measured:
    return Measured(found.value * factor, found.low * factor, found.high * factor, found.n, found.seeds, found.reason, found.fault)
