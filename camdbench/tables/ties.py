"""Ties: values that differ by rounding only, and explainers with equal values on every image of a model.

Every comparison of values in tables, ranks, tests and figures uses this tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camdbench.tables.cell_values import Cells

TIE_TOLERANCE = 1e-4
"""Largest difference of tied values, as a fraction of the metric's scale: 0.01 if the unit is %.

Algebraically equal explainers differ by float32 rounding of the map, which changes a logit of the masked image by about 1e-5 and a
probability by at most a quarter of that; other explainers differ 1,000 times as much on some image.
"""


def tie_tolerance(unit: str, values: np.ndarray, fraction: float = TIE_TOLERANCE) -> float:
    """Return the largest difference of tied values, in the metric's unit.

    The scale is 100 for per cent, else the largest magnitude of the values, at most 1: small values of a metric without an upper end
    do not tie with each other.

    >>> tie_tolerance("%", np.array([3.0])), tie_tolerance("", np.array([0.5, 7.0])), tie_tolerance("", np.array([1e-6, -2e-6]))
    (0.01, 0.0001, 2e-10)
    """
    if unit == "%":
        return 100 * fraction
    return fraction * float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)).clip(max=1.0))


def tied(a: np.ndarray, b: np.ndarray | float, tolerance: np.ndarray | float) -> np.ndarray:
    """Return where values differ by at most `tolerance`; NaN ties with NaN."""
    return np.isclose(a, b, rtol=0, atol=tolerance, equal_nan=True)


def tie_groups(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Number the tie groups of each column of finite values (N, M) in ascending order.

    In sorted order, a value joins the group of its predecessor if they tie. So two tied values always share a group; a group of three
    or more may span more than `tolerance`.

    >>> tie_groups(np.array([[0.3], [0.1], [0.30001]]), 1e-4)[:, 0].tolist()
    [1, 0, 1]
    """
    order = np.argsort(values, axis=0, kind="stable")
    ascending = np.take_along_axis(values, order, axis=0)
    starts = ~tied(ascending[1:], ascending[:-1], tolerance)
    numbers = np.concatenate([np.zeros_like(starts[:1], dtype=np.int64), starts.cumsum(0)]) if len(values) > 1 else np.zeros_like(order)
    found = np.empty_like(order)
    np.put_along_axis(found, order, numbers, axis=0)
    return found


def tie_tolerances(cells: Cells, units: Mapping[str, str], fraction: float = TIE_TOLERANCE) -> np.ndarray:
    """Return the largest difference of tied values of each of N cells, from all values of its metric."""
    metrics = cells.keys["metric"]
    of = {name: tie_tolerance(units.get(name, ""), cells.values[(metrics == name).to_numpy()], fraction) for name in metrics.unique()}
    return metrics.map(of).to_numpy(dtype=np.float64)


_LETTERS = "abcdefghijklmnoprstuvwxyz"  # without q, which has no superscript in most fonts


def tie_labels(cells: Cells, units: Mapping[str, str], tolerance: float = TIE_TOLERANCE) -> list[str]:
    """Label explainers that agree on every image in every metric: one label per cell, empty without a tie.

    Within a block (data set, split, model, target rule) explainers are tied if each value lies within `tolerance` of
    that of the group's first explainer and values are missing on the same images. A single deviating image separates them. At least
    one value must lie strictly inside its metric's scale, as values of 0 and 1 can agree by chance.

    Args:
        cells: the cells of a run.
        units: unit of each metric spec; `%` has the scale 100, anything else the scale 1.
        tolerance: largest difference as a fraction of the scale.
    """
    labels, tolerances = [""] * len(cells.keys), tie_tolerances(cells, units, tolerance)
    for block in cells.blocks():
        explainers = cells.keys["explainer"].to_numpy()[block]
        found = _groups(cells, {name: block[explainers == name] for name in dict.fromkeys(explainers)}, units, tolerances)
        for index, name in zip(block, explainers, strict=True):
            labels[index] = found.get(name, "")
    return labels


def _groups(cells: Cells, own: Mapping[str, np.ndarray], units: Mapping[str, str], tolerances: np.ndarray) -> dict[str, str]:
    """Return the labels of tied explainers from the cells of each."""
    graded = _graded(cells, units)
    metrics = list(cells.keys[["metric", "protocol"]].itertuples(index=False, name=None))
    cell_of = {name: {metrics[place]: place for place in index} for name, index in own.items()}
    groups = list[list[str]]()
    for name, index in own.items():
        home = None
        if graded[index].any():
            home = next((group for group in groups if _same(cells, cell_of[group[0]], cell_of[name], tolerances)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    shared = [group for group in groups if len(group) > 1]
    return {name: _letter(place) for place, group in enumerate(shared) for name in group}


def _same(cells: Cells, first: Mapping[tuple[str, str], int], other: Mapping[tuple[str, str], int], tolerances: np.ndarray) -> bool:
    """Return whether two explainers have the same metrics and tied values, from the cell of each metric; ends at the first that differs."""
    if first.keys() != other.keys():
        return False
    return all(tied(cells.values[place], cells.values[other[metric]], tolerances[place]).all() for metric, place in first.items())


def _graded(cells: Cells, units: Mapping[str, str]) -> np.ndarray:
    """Return which cells (N,) have a value strictly inside the metric's scale."""
    scale = np.array([100.0 if units.get(metric) == "%" else 1.0 for metric in cells.keys["metric"]])[:, None]
    ends = tied(cells.values, 0.0, TIE_TOLERANCE * scale) | tied(cells.values, scale, TIE_TOLERANCE * scale)
    return np.asarray((~ends & ~np.isnan(cells.values)).any(1))


def _letter(place: int) -> str:
    """Return the label of a group: a, b, c, and so on.

    >>> [_letter(place) for place in (0, 1, 24, 25, 26)]
    ['a', 'b', 'z', 'aa', 'ab']
    """
    before, last = divmod(place, len(_LETTERS))
    return (_letter(before - 1) if before else "") + _LETTERS[last]
