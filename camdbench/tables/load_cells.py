"""Read the values of a run into a matrix of cells and images, file by file, without a frame of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from camdbench.core.errors import CamdbenchError
from camdbench.tables.cell_values import KEY, Cells, scores, status_codes
from camdbench.tables.load import Selection, load_run, refuse_absent, specs_of
from camdbench.tables.ordered_rows import IDENTITY, encoded, ordered_rows, orders_of, places_of
from camdbench.tables.part_files import naming, read_parts

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = tuple(name for name in KEY if name not in ("model", "explainer"))  # what tells the cells of one explainer and model apart
_METRIC = _OWN.index("metric")
_COLUMNS = (*_OWN, "image", "label", "value", "status")
_COUNTED = 2**16  # combinations of the texts of a batch that are counted rather than sorted


def load_cells(run: str | Path, metrics: Selection = None, explainers: Selection = None) -> Cells:
    """Read the values of a run as a matrix of cells and images, 9 bytes a value.

    Args:
        run: a run directory.
        metrics: metric specs as in rows; default: all.
        explainers: explainer specs as in rows; default: all.

    Returns:
        The cells in the order of `load_rows`, over the images that have a row.

    Raises:
        UsageError: no such folder, not a run, no finished part, or no rows of a metric or explainer.
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    about, chosen = load_run(run), (specs_of(metrics), specs_of(explainers))
    reader = _Reader(about["ids"])
    for part, table in read_parts(Path(run), "rows", _COLUMNS, *chosen):
        if part.explainer is None:
            raise CamdbenchError(f"{part.path}: not a file of rows; remove it from the run directory")
        with naming(part.path, "rows"):
            for batch in table.to_batches():
                reader.add(part.model, part.explainer, batch)
    orders = orders_of(about)
    for model, explainer in reader.pairs(orders):
        if reader.groups[model, explainer].has_duplicates():
            ordered_rows(run, about, IDENTITY, chosen[0], [explainer])  # raises the error that names the image
            raise CamdbenchError(f"{run}: an image occurs twice for {explainer} on {model}; delete that folder under rows/")
    cells = reader.cells(orders)
    refuse_absent(run, about, {"metrics": metrics, "explainers": explainers}, cells.keys["metric"], cells.keys["explainer"])
    return cells


class _Group:
    """Values and statuses of the cells of one explainer with one model; grows with its cells and images."""

    def __init__(self, images: int) -> None:
        self.keys = dict[tuple[str, ...], int]()  # by `_OWN`: row of the matrix
        self.matrix = np.empty((0, images))
        self.status = np.empty((0, images), dtype=np.uint8)
        self.rows = 0

    def add(self, keys: Sequence[tuple[str, ...]], code: np.ndarray, column: np.ndarray, value: np.ndarray, status: np.ndarray) -> None:
        """Add rows (n,): of key `code`, in a column of the matrix."""
        row = np.array([self.keys.setdefault(key, len(self.keys)) for key in keys], dtype=np.intp)[code]
        shape = len(self.keys), int(column.max(initial=-1)) + 1
        self.matrix, self.status = _grown(self.matrix, shape, np.nan), _grown(self.status, shape, 0)
        self.matrix[row, column], self.status[row, column] = scores(value, status)
        self.rows += len(value)

    def has_duplicates(self) -> bool:
        """Whether two rows have one metric and image."""
        metrics = np.array([key[_METRIC] for key in self.keys], dtype=object)
        filled = sum(np.count_nonzero(self.status[: len(metrics)][metrics == name].any(0)) for name in set(metrics))
        return bool(filled < self.rows)


class _Reader:
    """Matrices of all explainers and models, in columns of images by their first appearance."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.groups = dict[tuple[str, str], _Group]()
        self._columns = {name: place for place, name in enumerate(dict.fromkeys(ids))}
        self._labels = np.full(len(self._columns), -1)

    def add(self, model: str, explainer: str, batch: pa.RecordBatch) -> None:
        """Add rows of one explainer with one model, the columns `_COLUMNS`."""
        if not batch.num_rows:
            return
        names, codes = zip(*(encoded(batch.column(name)) for name in _OWN), strict=True)
        flat = np.ravel_multi_index(codes, sizes := [len(own) for own in names])
        found = np.flatnonzero(np.bincount(flat)) if prod(sizes) <= _COUNTED else np.unique(flat)
        places = np.unravel_index(found, sizes)
        keys = list(zip(*([own[place] for place in where.tolist()] for own, where in zip(names, places, strict=True)), strict=True))
        images, image = encoded(batch.column("image"))
        column = np.array([self._columns.setdefault(name, len(self._columns)) for name in images], dtype=np.intp)[image]
        statuses, status = encoded(batch.column("status"))
        if (model, explainer) not in self.groups:
            self.groups[model, explainer] = _Group(len(self._columns))
        value = batch.column("value").to_numpy(zero_copy_only=False)
        self.groups[model, explainer].add(keys, np.asarray(np.searchsorted(found, flat)), column, value, status_codes(statuses)[status])
        self._labels = _grown(self._labels, (len(self._columns),), -1)
        self._labels[column] = batch.column("label").to_numpy()

    def pairs(self, orders: dict[str, list[str]]) -> list[tuple[str, str]]:
        """Return model and explainer of the groups in these orders."""
        models, explainers = (
            _ranks([pair[place] for pair in self.groups], orders[kind]) for place, kind in enumerate(("model", "explainer"))
        )
        return sorted(self.groups, key=lambda pair: (models[pair[0]], explainers[pair[1]]))

    def cells(self, orders: dict[str, list[str]]) -> Cells:
        """Return all cells by model, explainer, first image and metric in these orders, over the images that have a row, sorted."""
        names = list(self._columns)
        ranks, count = places_of(names, orders["image"]), len(names)
        there = np.zeros(count, dtype=bool)
        lines = list[tuple[tuple[str, ...], _Group, int]]()
        for model, explainer in self.pairs(orders):
            group = self.groups[model, explainer]
            keys = list(group.keys)
            group.status, group.matrix = _grown(group.status, (len(keys), count), 0), _grown(group.matrix, (len(keys), count), np.nan)
            first = [int(ranks[own[:count] > 0].min()) for own in group.status[: len(keys)]]
            there |= group.status[: len(keys), :count].any(0)
            rank = _ranks([key[_METRIC] for key in keys], orders["metric"])
            order = sorted(range(len(keys)), key=lambda place: (first[place], rank[keys[place][_METRIC]]))
            lines += [(_whole(keys[place], model, explainer), group, place) for place in order]
        columns = np.array(sorted(np.flatnonzero(there), key=names.__getitem__), dtype=np.intp)
        values, status = np.empty((len(lines), len(columns))), np.empty((len(lines), len(columns)), dtype=np.uint8)
        for line, (_, group, place) in enumerate(lines):
            values[line], status[line] = group.matrix[place, columns], group.status[place, columns]
        images = tuple(names[column] for column in columns)
        return Cells(pd.DataFrame([key for key, *_ in lines], columns=list(KEY)), values, status, images, self._labels[columns])


def _ranks(names: Sequence[str], order: Sequence[str]) -> dict[str, int]:
    different = list(dict.fromkeys(names))
    return dict(zip(different, places_of(different, order).tolist(), strict=True))


def _whole(own: tuple[str, ...], model: str, explainer: str) -> tuple[str, ...]:
    """Return a key of `KEY` from one of `_OWN`."""
    facts = dict(zip(_OWN, own, strict=True)) | {"model": model, "explainer": explainer}
    return tuple(facts[name] for name in KEY)


def _grown(array: np.ndarray, shape: Sequence[int], fill: float) -> np.ndarray:
    """Return an array of at least this shape; one that is too small is enlarged to twice its size."""
    if all(have >= want for have, want in zip(array.shape, shape, strict=True)):
        return array
    larger = np.full(
        [have if have >= want else max(2 * have, want) for have, want in zip(array.shape, shape, strict=True)], fill, array.dtype
    )
    larger[tuple(map(slice, array.shape))] = array
    return larger
