"""Cells: the values of each table cell side by side, one column per image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.rows import SCORED

KEY = ("dataset", "split", "model", "explainer", "metric", "protocol", "target_rule")  # what makes two means comparable


@dataclass(frozen=True)
class Cells:
    """Per-image values of N cells over M images.

    Attributes:
        keys: N rows with the columns `KEY`, in the order in which the rows first name them.
        values: (N, M), NaN where the image has no finite value in that cell.
        n_failed: (N,) images without a value.
        n_constant: (N,) images whose map was constant and that are in the mean nevertheless.
    """

    keys: pd.DataFrame
    values: np.ndarray
    n_failed: np.ndarray
    n_constant: np.ndarray

    def blocks(self) -> list[np.ndarray]:
        """Indices of the cells that share everything but explainer and metric, block by block."""
        names = [name for name in KEY if name not in ("explainer", "metric", "protocol")]
        return [np.asarray(block) for block in self.keys.groupby(names, sort=False).indices.values()]


def cells_of(rows: pd.DataFrame) -> Cells:
    """Arrange tidy rows into cells; the order of the images does not matter.

    Raises:
        UsageError: a column is missing, or an image stands twice in a cell.
    """
    if absent := [name for name in (*KEY, "image", "value", "status") if name not in rows]:
        raise UsageError(f"these are not rows of a run: no column {', '.join(absent)}")
    cell = rows.groupby(list(KEY), sort=False, dropna=False).ngroup().to_numpy()
    image, images = pd.factorize(rows["image"], sort=True)
    first = np.unique(cell, return_index=True)[1]
    shape = len(first), len(images)
    flat = np.ravel_multi_index((cell, image), shape) if len(rows) else cell
    if len(np.unique(flat)) < len(flat):
        raise UsageError("an image stands twice in a cell of the table; summarise the rows of one run at a time")
    value = rows["value"].to_numpy(dtype=np.float64)
    scored = np.isfinite(value) & rows["status"].isin(SCORED).to_numpy()
    values = np.full(shape, np.nan)
    values.flat[flat[scored]] = value[scored]
    constant = scored & (rows["status"] == "constant_map").to_numpy()
    return Cells(
        keys=rows.iloc[first][list(KEY)].reset_index(drop=True),
        values=values,
        n_failed=np.bincount(cell[~scored], minlength=shape[0]),
        n_constant=np.bincount(cell[constant], minlength=shape[0]),
    )
