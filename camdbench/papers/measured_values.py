"""Values of cells of finished runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camdbench.papers.agreement import OurValue
from camdbench.papers.jobs import JobSettings, PlannedCell
from camdbench.papers.probes import FinishedProbe
from camdbench.tables.curve_lists import RunCurves
from camdbench.tables.load import load_missing, load_run, load_usage
from camdbench.tables.load_cells import load_cells
from camdbench.tables.summary import summarise

ACCURACY = "accuracy"


class FinishedRun:
    """A finished run, read once for all of its cells.

    Args:
        folder: the run directory.
        subset: `misclassified` keeps the images with accuracy 0 in this run.

    Attributes:
        folder: the run directory.
    """

    def __init__(self, folder: Path, subset: str | None = None) -> None:
        about, cells = load_run(folder), load_cells(folder)
        if subset is not None:
            accuracy = cells.select((cells.keys["metric"] == ACCURACY).to_numpy())
            cells = cells.select_images(np.asarray(~np.greater(accuracy.values, 0).any(0)))
        self.folder, self._images = folder, frozenset(cells.images)
        usage, curves = load_usage(folder), RunCurves((folder,))
        self._summary = summarise(cells, about=about, usage=usage, curves=curves) if cells.images else None

    def measured(self, explainer: str, metric: str, *, cost: bool = False) -> OurValue:
        """The mean of an explainer and metric with its interval over images, or the seconds per image."""
        if self._summary is None:
            return OurValue(reason="no image is misclassified; use more images")
        found = self._summary[(self._summary["explainer"] == explainer) & (self._summary["metric"] == metric)]
        line = found.iloc[0]
        if math.isnan(line["seconds_per_image"] if cost else line["mean"]):
            return self._reason(explainer, metric)
        if cost:
            return OurValue(float(line["seconds_per_image"]), n=int(line["n"]))
        return OurValue(float(line["mean"]), float(line["ci_low"]), float(line["ci_high"]), int(line["n"]))

    def _reason(self, explainer: str, metric: str) -> OurValue:
        missing = load_missing(self.folder, [explainer])
        own = missing[(missing["metric"] == metric) & missing["image"].isin(self._images)]
        first = own[own["reason"] != ""].head(1)
        reason = str(first["reason"].iloc[0]) if len(first) else "the metric has no value on these images"
        return OurValue(reason=reason, fault=bool((own["status"] == "error").any()))


def measured_value(cell: PlannedCell, finished: dict[tuple[JobSettings, str], FinishedRun | FinishedProbe | str]) -> OurValue:
    """Measured value of a cell: that of its run, or the mean over its seeds.

    Args:
        cell: the cell.
        finished: by setting, explainer and metric: the run or probe, or the error message.
    """
    if cell.reason:
        return OurValue(reason=cell.reason)
    each = list[OurValue]()
    for setting in cell.jobs:
        run = finished[setting, key(cell.explainer, cell.metric)]
        if isinstance(run, str):
            return OurValue(reason=run, fault=True)
        each.append(run.measured(cell.explainer, cell.metric, cost=cell.settings.measure is not None))
    return _scale(each[0] if len(each) == 1 else over_seeds(each), cell.settings.scale_by or 1.0)


def over_seeds(each: Sequence[OurValue]) -> OurValue:
    """Mean over seeds with Student's t interval; no value if a seed has none.

    >>> found = over_seeds([OurValue(1.0, n=5), OurValue(2.0, n=5), OurValue(3.0, n=5)])
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
    return OurValue(middle, middle - reach, middle + reach, each[0].n, len(each))


def key(explainer: str, metric: str) -> str:
    """Key of a measurement within a setting."""
    return f"{explainer}|{metric}"


def _scale(found: OurValue, factor: float) -> OurValue:
    return OurValue(found.value * factor, found.low * factor, found.high * factor, found.n, found.seeds, found.reason, found.fault)
