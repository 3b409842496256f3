"""Ties: explainers with equal values on every image of a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camdbench.tables.cell_values import Cells

TIE_TOLERANCE = 1e-4
"""Largest difference of tied values of one image, as a fraction of the metric's scale: 0.01 if the unit is %.

Algebraically equal explainers differ by float32 rounding of the map, which changes a logit of the masked image by about 1e-5 and a
probability by at most a quarter of that; other explainers differ 1,000 times as much on some image.
"""

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
    labels = [""] * len(cells.keys)
    for block in cells.blocks():
        explainers = cells.keys["explainer"].to_numpy()[block]
        tables = {name: _table(cells, block[explainers == name], units) for name in dict.fromkeys(explainers)}
        found = _groups(tables, tolerance)
        for index, name in zip(block, explainers, strict=True):
            labels[index] = found.get(name, "")
    return labels


Table = dict[tuple[str, str], np.ndarray]  # (metric, protocol) -> values of all images, in units of the metric's scale


def _table(cells: Cells, own: np.ndarray, units: Mapping[str, str]) -> Table:
    keys = cells.keys.iloc[own]
    scales = [100.0 if units.get(metric) == "%" else 1.0 for metric in keys["metric"]]
    names = zip(keys["metric"], keys["protocol"], strict=True)
    return {name: cells.values[index] / scale for name, index, scale in zip(names, own, scales, strict=True)}


def _groups(tables: dict[str, Table], tolerance: float) -> dict[str, str]:
    groups = list[list[str]]()
    for name, table in tables.items():
        home = next((group for group in groups if _same(tables[group[0]], table, tolerance)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    shared = [group for group in groups if len(group) > 1]
    return {name: _letter(place) for place, group in enumerate(shared) for name in group}


def _same(first: Table, other: Table, tolerance: float) -> bool:
    if first.keys() != other.keys():
        return False
    graded = False
    for name, values in first.items():
        if not np.allclose(values, other[name], rtol=0, atol=tolerance, equal_nan=True):
            return False
        graded |= bool(np.any((np.abs(values) > tolerance) & (np.abs(values - 1) > tolerance)))
    return graded


def _letter(place: int) -> str:
    """Return the label of a group: a, b, c, and so on.

    >>> [_letter(place) for place in (0, 1, 24, 25, 26)]
    ['a', 'b', 'z', 'aa', 'ab']
    """
    before, last = divmod(place, len(_LETTERS))
    return (_letter(before - 1) if before else "") + _LETTERS[last]
