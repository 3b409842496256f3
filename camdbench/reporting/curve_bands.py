"""Mean curves of a run with bootstrap intervals, from one cell at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from camdbench.tables.cell_values import cell_data
from camdbench.tables.curve_lists import RunCurves
from camdbench.tables.intervals import mean_intervals
from camdbench.tables.pool import Pooled

CellKey = tuple[str, str, str]  # model, explainer, metric


@dataclass(frozen=True)
class CurveBand:
    """A mean curve with its 95 % interval at each point.

    Attributes:
        x: (K,) positions, ascending.
        mean: (K,) mean over images; NaN without an image.
        low: (K,) lower end of the interval; NaN with fewer than two images.
        high: (K,) upper end.
        count: (K,) images with a value.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray

    def within(self, ends: tuple[float, float]) -> CurveBand:
        """Return the band clipped to a range, which it exceeds by rounding at most."""
        return replace(self, mean=np.clip(self.mean, *ends), low=np.clip(self.low, *ends), high=np.clip(self.high, *ends))


def curve_band(x: np.ndarray, y: np.ndarray) -> CurveBand:
    """Return the mean of curves y (M, K) at x (K,), with percentile bootstrap intervals as in tables; NaN where there is no value.

    All points share the resamples of images. The interval of a mean of values in a range lies in that range.
    """
    there = np.isfinite(y)
    count = there.sum(0)
    mean = np.divide(np.sum(y, 0, where=there), count, out=np.full(len(x), np.nan), where=count > 0)
    low, high = mean_intervals(np.where(there, y, np.nan).T).T
    return CurveBand(x, mean, low, high, count)


def curve_bands(pooled: Pooled, curve: str, explainers: Collection[str] | None = None) -> dict[CellKey, CurveBand]:
    """Return the bands of all curves of one name; memory holds the curves of one cell at a time.

    Images without a value in the table are omitted, so that the area under a mean curve is the mean of the areas.

    Args:
        pooled: the run.
        curve: name of the curve.
        explainers: specs; default: all.

    Raises:
        CamdbenchError: a file is damaged.
    """
    found, source = dict[CellKey, CurveBand](), RunCurves(pooled.folders)
    holding = source.cells(curve)
    for index, (model, explainer, metric) in enumerate(
        pooled.cells.keys[["model", "explainer", "metric"]].itertuples(index=False, name=None)
    ):
        if (model, explainer, metric) not in holding or (explainers is not None and explainer not in explainers):
            continue
        curves = cell_data(pooled.cells, index, source).curves
        if curve in curves:
            found[model, explainer, metric] = curve_band(*curves[curve])
    return found
