"""Mean curves of a report, with bootstrap bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from camdbench.reporting.curve_axes import curve_axes
from camdbench.reporting.page_numbers import short_number
from camdbench.tables.cell_values import Cells, cell_data
from camdbench.tables.curve_lists import RunCurves
from camdbench.tables.intervals import mean_intervals
from camdbench.tables.pool import Pooled

POINTS = 33  # of a drawn curve
_VALUES = 2**24  # float64 values whose intervals are computed together, 128 MB
_EQUAL = 1e-3  # largest distance of curves of tied explainers that are drawn once, as a fraction of the range of the values


def curve_charts(pooled: Pooled, summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean curves over images with 95 % bootstrap intervals of the mean at each point.

    The curves of one cell are read at a time. A curve of more than `POINTS` points is interpolated linearly at as many equal steps,
    image by image. Images without a value of the metric have no curve. An interval lies between the smallest and the largest value.

    Args:
        pooled: the run.
        summary: its summary, for tied explainers and controls.

    Returns:
        One chart per model, metric and curve of two points or more: `model`, `metric`, `curve`, labels `x_label` and `y_label`, positions
        `x` (K,), explainers `without` a curve, and `lines`: `names` of explainers with equal curves, whether they are `tied` on every
        image, `control`, `n` images, `mean`, `low` and `high` (K,).
    """
    source = RunCurves(pooled.folders)
    keys, found = pooled.cells.keys, list[dict[str, Any]]()
    there = source.cells()
    for key, rows in keys.groupby(["model", "metric"], sort=False).indices.items():
        model, metric = map(str, cast("tuple[str, str]", key))
        cells = {str(keys["explainer"].iloc[row]): int(row) for row in rows if (model, keys["explainer"].iloc[row], metric) in there}
        facts = {"model": model, "metric": metric}
        ties = summary.loc[summary["model"] == model].drop_duplicates("explainer").set_index("explainer")[["tie_group", "is_control"]]
        names = [str(name) for name in keys["explainer"].iloc[rows]]
        for curve, x, lines in _lines(pooled.cells, cells, source, metric):
            axes = curve_axes(metric, curve, pooled.about.get("metrics", {}).get(metric, {}))
            assert axes is not None
            own = _joined(lines, ties)
            drawn = {name for line in own for name in line["names"]}
            place = facts | {"curve": curve, "x_label": axes.x, "y_label": axes.y, "x": _numbers(x)}
            found.append(place | {"lines": own, "without": [name for name in names if name not in drawn]})
    return found


def _lines(
    cells: Cells, rows: Mapping[str, int], source: RunCurves, metric: str
) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
    """Yield name, positions (K,) and, by explainer, n, mean and interval ends (4, K) of the curves of one metric."""
    places, lines = dict[str, np.ndarray](), dict[str, dict[str, np.ndarray]]()
    waiting = list[tuple[str, str, np.ndarray]]()
    for explainer, row in rows.items():
        for curve, (x, y) in cell_data(cells, row, source).curves.items():
            if len(x) < 2 or curve_axes(metric, curve, {}) is None:
                continue
            grid = places.setdefault(curve, x if len(x) <= POINTS else np.linspace(x[0], x[-1], POINTS))
            waiting.append((curve, explainer, at_positions(x, y, grid).T))
        if sum(own.size for *_, own in waiting) > _VALUES:
            _add(lines, waiting)
    _add(lines, waiting)
    for curve, x in places.items():
        yield curve, x, lines[curve]


def _add(lines: dict[str, dict[str, np.ndarray]], waiting: list[tuple[str, str, np.ndarray]]) -> None:
    """Move what waits, matrices (K, M), to lines; together, as rows share their resamples."""
    if not waiting:
        return
    ends = mean_intervals(np.concatenate([own for *_, own in waiting]))
    start = 0
    for curve, explainer, own in waiting:
        count, total = np.count_nonzero(~np.isnan(own), axis=1), np.nansum(own, axis=1)
        means = np.divide(total, count, out=np.full(len(own), np.nan), where=count > 0)
        lines.setdefault(curve, {})[explainer] = np.stack([count, means, *ends[start : start + len(own)].T])
        start += len(own)
    waiting.clear()


def at_positions(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Interpolate curves y (M, K) at x (K,) linearly at a grid (G,); NaN before the first and behind the last point of a curve.

    >>> at_positions(np.array([0.0, 1.0, 2.0]), np.array([[0.0, np.nan, 4.0]]), np.array([0.0, 0.5, 3.0])).tolist()
    [[0.0, 1.0, nan]]
    """
    if np.array_equal(x, grid) and not np.isnan(y).any():
        return y
    found = np.full((len(y), len(grid)), np.nan)
    whole = ~np.isnan(y).any(1)
    if whole.any() and len(x) > 1:
        right = np.searchsorted(x, grid).clip(1, max(1, len(x) - 1))
        share = (grid - x[right - 1]) / (x[right] - x[right - 1])
        found[whole] = np.where((share >= 0) & (share <= 1), y[whole][:, right - 1] * (1 - share) + y[whole][:, right] * share, np.nan)
    for row in np.flatnonzero(~whole & ~np.isnan(y).all(1)):
        there = ~np.isnan(y[row])
        found[row] = np.interp(grid, x[there], y[row, there], left=np.nan, right=np.nan)
    return found


def _joined(lines: Mapping[str, np.ndarray], ties: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a chart, controls last; explainers with equal curves and bands, up to a thousandth of the range, are one line."""
    values = np.concatenate([own[1] for own in lines.values()])
    reach = _EQUAL * float(np.ptp(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
    drawn = list[tuple[np.ndarray, dict[str, Any]]]()
    for name, own in lines.items():
        if np.isnan(own[1]).all():
            continue
        letter, control = str(ties["tie_group"][name]), bool(ties["is_control"][name])
        same = (line for first, line in drawn if line["control"] == control and np.allclose(first, own, rtol=0, atol=reach, equal_nan=True))
        if (twin := next(same, None)) is not None:
            twin["names"].append(name)
            twin["tied"] &= letter == ties["tie_group"][twin["names"][0]]
            continue
        line = {"names": [name], "tied": bool(letter), "control": control, "n": int(own[0].max())}
        drawn.append((own, line | dict(zip(("mean", "low", "high"), map(_numbers, own[1:]), strict=True))))
    return sorted((line for _, line in drawn), key=lambda line: line["control"])


def _numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [short_number(float(value)) for value in values]
