"""Values per image of all table cells, as a matrix of cells and images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.row import SCORED
from camdbench.tables.aggregates import CellData
from camdbench.tables.curve_lists import CurveSource

KEY = ("dataset", "split", "model", "explainer", "metric", "protocol", "target_rule")  # identifies a cell


@dataclass(frozen=True)
class Cells:
    """Per-image values of N cells over M images.

    Attributes:
        keys: N rows with the columns `KEY`, in order of first appearance.
        values: (N, M), NaN where an image has no finite value.
        n_failed: (N,) images with an error.
        n_not_applicable: (N,) images for which explainer or metric have no meaning.
        n_undefined: (N,) images for which the metric is undefined.
        n_constant: (N,) images with a constant map; they are included in the mean.
        images: M ids.
        labels: (M,) ground-truth classes, -1 if unknown.
    """

    keys: pd.DataFrame
    values: np.ndarray
    n_failed: np.ndarray
    n_not_applicable: np.ndarray
    n_undefined: np.ndarray
    n_constant: np.ndarray
    images: tuple[str, ...]
    labels: np.ndarray

    def select(self, chosen: np.ndarray) -> Cells:
        """Return the cells where `chosen` (N,) is true, over the same images."""
        return replace(
            self,
            keys=self.keys[chosen].reset_index(drop=True),
            values=np.compress(chosen, self.values, axis=0),
            n_failed=self.n_failed[chosen],
            n_not_applicable=self.n_not_applicable[chosen],
            n_undefined=self.n_undefined[chosen],
            n_constant=self.n_constant[chosen],
        )

    def blocks(self) -> list[np.ndarray]:
        """Return the indices of cells that differ only in explainer and metric, block by block."""
        names = [name for name in KEY if name not in ("explainer", "metric", "protocol")]
        return [np.asarray(block) for block in self.keys.groupby(names, sort=False).indices.values()]


def cell_data(cells: Cells, index: int, curves: CurveSource | None = None) -> CellData:
    """Return the values and curves of one cell.

    Args:
        cells: the cells of a run.
        index: index of the cell.
        curves: the curves of all cells; default: none.
    """
    model, explainer, metric = cells.keys.iloc[index][["model", "explainer", "metric"]]
    values = np.take(cells.values, index, axis=0)
    found = {} if curves is None else curves.of_cell(model, explainer, metric, cells.images)
    for _, y in found.values():
        y[np.isnan(values)] = np.nan  # of parts whose rows are not written yet
    return CellData(values, found, cells.labels)


def cells_of(rows: pd.DataFrame) -> Cells:
    """Arrange rows into cells; the order of images has no effect.

    Raises:
        UsageError: a column is missing, or an image occurs twice in a cell.
    """
    if absent := [name for name in (*KEY, "image", "label", "value", "status") if name not in rows]:
        raise UsageError(f"rows: no column {', '.join(absent)}")
    cell = rows.groupby(list(KEY), sort=False, dropna=False).ngroup().to_numpy()
    image, images = pd.factorize(rows["image"], sort=True)
    first = np.unique(cell, return_index=True)[1]
    shape = len(first), len(images)
    flat = np.ravel_multi_index((cell, image), shape) if len(rows) else cell
    filled = np.zeros(shape, dtype=bool)
    filled.flat[flat] = True
    if np.count_nonzero(filled) < len(flat):
        raise UsageError("rows: an image occurs twice in a cell; summarise the rows of one run at a time")
    value = rows["value"].to_numpy(dtype=np.float64)
    scored = np.isfinite(value) & rows["status"].isin(SCORED).to_numpy()
    values = np.full(shape, np.nan)
    values.flat[flat[scored]] = value[scored]
    constant = scored & (rows["status"] == "constant_map").to_numpy()
    undefined, elsewhere = ((rows["status"] == status).to_numpy() for status in ("undefined", "not_applicable"))
    labels = np.full(len(images), -1)
    labels[image] = rows["label"].to_numpy(dtype=np.int64)
    return Cells(
        keys=rows.iloc[first][list(KEY)].reset_index(drop=True),
        values=values,
        n_failed=np.bincount(cell[~scored & ~undefined & ~elsewhere], minlength=shape[0]),
        n_not_applicable=np.bincount(cell[elsewhere], minlength=shape[0]),
        n_undefined=np.bincount(cell[undefined], minlength=shape[0]),
        n_constant=np.bincount(cell[constant], minlength=shape[0]),
        images=tuple(images),
        labels=labels,
    )
