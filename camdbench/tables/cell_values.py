"""Values per image of all table cells, as a matrix of cells and images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.row import SCORED, Status
from camdbench.tables.aggregates import CellData

KEY = ("dataset", "split", "model", "explainer", "metric", "protocol", "target_rule")  # identifies a cell
STATUSES = ("", *get_args(Status))  # by their codes in `Cells.status`; the first: no row
_CODES = {name: code for code, name in enumerate(STATUSES)}
_SCORED = np.array([name in SCORED for name in STATUSES])


@dataclass(frozen=True)
class Cells:
    """Per-image values of N cells over M images.

    Attributes:
        keys: N rows with the columns `KEY`, in order of first appearance.
        values: (N, M) float64 in the metrics' units, NaN where an image has no finite value.
        status: (N, M) uint8, the index of the status in `STATUSES`; 0 where an image has no row, that of `error` also where a scored
            value is not finite.
        images: M ids, sorted.
        labels: (M,) ground-truth classes, -1 if unknown.
    """

    keys: pd.DataFrame
    values: np.ndarray
    status: np.ndarray
    images: tuple[str, ...]
    labels: np.ndarray

    @property
    def n_failed(self) -> np.ndarray:
        """(N,) images with an error."""
        return self._count("error")

    @property
    def n_not_applicable(self) -> np.ndarray:
        """(N,) images for which explainer or metric have no meaning."""
        return self._count("not_applicable")

    @property
    def n_undefined(self) -> np.ndarray:
        """(N,) images for which the metric is undefined."""
        return self._count("undefined")

    @property
    def n_constant(self) -> np.ndarray:
        """(N,) images with a constant map; they are included in the mean."""
        return self._count("constant_map")

    def _count(self, status: Status) -> np.ndarray:
        return np.count_nonzero(self.status == _CODES[status], axis=1)

    def select(self, chosen: np.ndarray) -> Cells:
        """Return the cells where `chosen` (N,) is true, over the same images."""
        return replace(
            self,
            keys=self.keys[chosen].reset_index(drop=True),
            values=np.compress(chosen, self.values, axis=0),
            status=np.compress(chosen, self.status, axis=0),
        )

    def select_images(self, chosen: np.ndarray) -> Cells:
        """Return the images where `chosen` (M,) is true, and the cells that have a row of one of them."""
        status = np.compress(chosen, self.status, axis=1)
        found = Cells(
            self.keys,
            np.compress(chosen, self.values, axis=1),
            status,
            images=tuple(name for name, kept in zip(self.images, chosen, strict=True) if kept),
            labels=self.labels[chosen],
        )
        return found.select(status.any(1))

    def over(self, images: Sequence[str]) -> Cells:
        """Return the cells over other images, which include their own; the others have no row."""
        if tuple(images) == self.images:
            return self
        places, shape = pd.Index(images).get_indexer(pd.Index(self.images)), (len(self.keys), len(images))
        values, status, labels = np.full(shape, np.nan), np.zeros(shape, dtype=np.uint8), np.full(len(images), -1)
        values[:, places], status[:, places], labels[places] = self.values, self.status, self.labels
        return replace(self, values=values, status=status, images=tuple(images), labels=labels)

    def blocks(self) -> list[np.ndarray]:
        """Return the indices of cells that differ only in explainer and metric, block by block."""
        names = [name for name in KEY if name not in ("explainer", "metric", "protocol")]
        return [np.asarray(block) for block in self.keys.groupby(names, sort=False).indices.values()]


def join_cells(parts: Sequence[Cells]) -> Cells:
    """Return the cells of all parts, one part after the other, over the images of any of them."""
    if len(parts) == 1:
        return parts[0]
    images = sorted(set[str]().union(*(part.images for part in parts)))
    wide = [part.over(images) for part in parts]
    return Cells(
        pd.concat([part.keys for part in wide], ignore_index=True),
        np.concatenate([np.asarray(part.values) for part in wide]),
        np.concatenate([part.status for part in wide]),
        tuple(images),
        np.max([part.labels for part in wide], axis=0),
    )


CellCurves = dict[tuple[str, str, str], pd.DataFrame]  # by model, explainer and metric


def curves_by_cell(curves: pd.DataFrame | None) -> CellCurves:
    """Group curves, as returned by `load_curves`, by cell; empty if None."""
    if curves is None:
        return {}
    groups = curves.groupby(["model", "explainer", "metric"], sort=False, observed=True)
    return {(str(model), str(explainer), str(metric)): own for (model, explainer, metric), own in groups}


def cell_data(cells: Cells, index: int, curves_of: CellCurves) -> CellData:
    """Return the values and curves of one cell.

    Args:
        cells: the cells of a run.
        index: index of the cell.
        curves_of: the curves of all cells.
    """
    model, explainer, metric = cells.keys.iloc[index][["model", "explainer", "metric"]]
    curves = dict[str, tuple[np.ndarray, np.ndarray]]()
    if (own := curves_of.get((model, explainer, metric))) is not None:
        for part, group in own.groupby("curve", sort=True, observed=True):
            x, column = np.unique(group["x"].to_numpy(), return_inverse=True)
            row = pd.Index(cells.images).get_indexer(pd.Index(group["image"].astype(str)))
            y = np.full((len(cells.images), len(x)), np.nan)
            y[row[row >= 0], column[row >= 0]] = group["value"].to_numpy()[row >= 0]
            curves[str(part)] = x, y
    return CellData(np.take(cells.values, index, axis=0), curves, cells.labels)


def cells_of(rows: pd.DataFrame) -> Cells:
    """Arrange rows of a frame into cells; the order of images has no effect.

    Raises:
        UsageError: a column is missing, or an image occurs twice in a cell.
    """
    if absent := [name for name in (*KEY, "image", "label", "value", "status") if name not in rows]:
        raise UsageError(f"rows: no column {', '.join(absent)}")
    cell = rows.groupby(list(KEY), sort=False, dropna=False, observed=True).ngroup().to_numpy()
    image, images = pd.factorize(_plain(rows["image"]), sort=True)
    first = np.unique(cell, return_index=True)[1]
    shape = len(first), len(images)
    flat = np.ravel_multi_index((cell, image), shape) if len(rows) else cell
    values, status = np.full(shape, np.nan), np.zeros(shape, dtype=np.uint8)
    code, names = pd.factorize(_plain(rows["status"]))
    codes = status_codes([*names, "error"])[code]  # a missing status has the code -1
    values.flat[flat], status.flat[flat] = scores(rows["value"].to_numpy(dtype=np.float64), codes)
    if np.count_nonzero(status) < len(flat):
        raise UsageError("rows: an image occurs twice in a cell; summarise the rows of one run at a time")
    labels = np.full(len(images), -1)
    labels[image] = rows["label"].to_numpy(dtype=np.int64)
    keys = rows[list(KEY)].iloc[first].reset_index(drop=True)
    return Cells(keys.assign(**{name: _plain(keys[name]) for name in KEY}), values, status, tuple(images), labels)


def status_codes(statuses: Iterable[str]) -> np.ndarray:
    """Return the codes (n,) uint8 of statuses; unknown ones are errors.

    >>> status_codes(["ok", "undefined", "lost"]).tolist() == [STATUSES.index(name) for name in ("ok", "undefined", "error")]
    True
    """
    return np.array([_CODES.get(name) or _CODES["error"] for name in statuses], dtype=np.uint8)


def scores(value: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values (n,), NaN unless scored and finite, and their status codes, that of an error where a score is not finite."""
    scored, finite = _SCORED[code], np.isfinite(value)
    return np.where(scored & finite, value, np.nan), np.where(scored & ~finite, _CODES["error"], code).astype(np.uint8)


def _plain(column: pd.Series) -> pd.Series:
    """Return a column of categories as what they stand for."""
    return column.astype(column.cat.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column
