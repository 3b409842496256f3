"""Curves of a run: one row per image, metric and curve, which holds all points.

A file has the columns image, metric, curve, x and value. `value` is a list of K numbers in float64. `x` is the K positions as a JSON
array; as a dictionary column, it stores once what images share, and files are joined by appending rows. Runs of schema 2 have one row
per point, with numbers in `x` and `value`; both forms are read here, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from camdbench.tables.part_files import PartFile, naming, read_parts

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("image", "metric", "curve", "x", "value")
FILE_OPTIONS: dict[str, Any] = {"compression": "zstd", "use_dictionary": [*_COLUMNS[:-1]]}  # of a file; values seldom repeat

CellCurves = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Curves of a table cell by name: x (K,) ascending and y (M, K), NaN where an image has no value."""


class CurveBlock(NamedTuple):
    """Curves of N images with common positions.

    Attributes:
        metric: spec of the metric.
        curve: name of the curve.
        images: N ids.
        x: (K,) positions.
        y: (N, K) values.
    """

    metric: str
    curve: str
    images: Sequence[str]
    x: np.ndarray
    y: np.ndarray


class CurveSource(Protocol):
    """Curves of many cells, from which one cell at a time is arranged as matrices."""

    def of_cell(self, model: str, explainer: str, metric: str, images: Sequence[str]) -> CellCurves:
        """Return the curves of a cell over M images."""
        ...


@dataclass(frozen=True)
class RunCurves:
    """Curves in run directories; each cell is read when it is needed, so memory holds the curves of one cell and one file.

    Attributes:
        folders: the run directories.
    """

    folders: tuple[Path, ...]

    def of_cell(self, model: str, explainer: str, metric: str, images: Sequence[str]) -> CellCurves:
        """Return the curves of a cell over M images; curves of other images are omitted.

        Raises:
            CamdbenchError: a file is damaged or cannot be read.
        """
        places, found = pd.Index(images), dict[str, _Matrix]()
        for folder in self.folders:
            for _, block in read_blocks(folder, [metric], [explainer], [model]):
                rows = places.get_indexer(pd.Index(block.images))
                found.setdefault(block.curve, _Matrix(len(images))).add(rows, block.x, block.y)
        return {name: (found[name].x, found[name].y) for name in sorted(found)}

    def cells(self, curve: str | None = None) -> set[tuple[str, str, str]]:
        """Return model, explainer and metric of every cell that has curves, or curves of one name; only the names are read.

        Raises:
            CamdbenchError: a file is damaged or cannot be read.
        """
        found = set[tuple[str, str, str]]()
        for folder in self.folders:
            for part, table in read_parts(folder, "curves", ["metric", "curve"]):
                pairs = table.group_by(["metric", "curve"]).aggregate([]).to_pylist()
                names = {str(pair["metric"]) for pair in pairs if curve in (None, pair["curve"])}
                found |= {(part.model, str(part.explainer), name) for name in names}
        return found


class FrameCurves:
    """Curves in memory.

    Args:
        points: the output of `load_curves`, rows in any order.
    """

    def __init__(self, points: pd.DataFrame) -> None:
        groups = points.groupby(["model", "explainer", "metric"], sort=False, observed=True)
        self._cells = {(str(model), str(explainer), str(metric)): own for (model, explainer, metric), own in groups}

    def of_cell(self, model: str, explainer: str, metric: str, images: Sequence[str]) -> CellCurves:
        """Return the curves of a cell over M images; curves of other images are omitted."""
        curves, places = dict[str, tuple[np.ndarray, np.ndarray]](), pd.Index(images)
        if (own := self._cells.get((model, explainer, metric))) is not None:
            for name, group in own.groupby("curve", sort=True, observed=True):
                x, column = np.unique(group["x"].to_numpy(), return_inverse=True)
                row = places.get_indexer(pd.Index(group["image"].astype(str)))
                y = np.full((len(images), len(x)), np.nan)
                y[row[row >= 0], column[row >= 0]] = group["value"].to_numpy()[row >= 0]
                curves[str(name)] = x, y
        return curves


class _Matrix:
    """One curve of M images: x (K,) ascending, y (M, K); new positions widen it."""

    def __init__(self, images: int) -> None:
        self.x, self.y = np.empty(0), np.empty((images, 0))

    def add(self, rows: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Enter y (N, K) at x (K,) into the rows (N,); rows below 0 are omitted."""
        if not np.isin(x, self.x).all():
            wide = np.union1d(self.x, x)
            whole = np.full((len(self.y), len(wide)), np.nan)
            whole[:, np.searchsorted(wide, self.x)] = self.y
            self.x, self.y = wide, whole
        there = rows >= 0
        self.y[rows[there, None], np.searchsorted(self.x, x)[None, :]] = y[there]


# --------------------------------------------------------------------------------------------------- reading


def read_blocks(
    run: str | Path,
    metrics: Sequence[str] | None = None,
    explainers: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
) -> Iterator[tuple[PartFile, CurveBlock]]:
    """Yield the curves of a run, file by file.

    Args:
        run: the run directory.
        metrics: metric specs; default: all.
        explainers: explainer specs; default: all.
        models: names of models in rows; default: all.

    Raises:
        CamdbenchError: a file is damaged or cannot be read.
    """
    for part, table in read_parts(Path(run), "curves", _COLUMNS, metrics, explainers, models):
        with naming(part.path, "curves"):
            for block in to_blocks(table):
                yield part, block


def read_points(run: str | Path, columns: Sequence[str], metrics: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the curves of a run with one row per point, file by file; arguments and errors as of `read_blocks`."""
    for part, table in read_parts(Path(run), "curves", columns, metrics):
        with naming(part.path, "curves"):
            points = to_points(table)
        yield points


# --------------------------------------------------------------------------------------------------- tables


def to_table(blocks: Iterable[CurveBlock]) -> pa.Table | None:
    """Return the table of a file; None if there is no point."""
    import pyarrow as pa

    filled = [block for block in blocks if block.y.size]
    if not filled:
        return None
    counts = [len(block.images) for block in filled]

    def words(each: Iterable[str]) -> pa.DictionaryArray:
        return pa.array([word for word, count in zip(each, counts, strict=True) for _ in range(count)], pa.string()).dictionary_encode()

    values = np.concatenate([block.y.ravel() for block in filled]).astype(np.float64)
    columns = {
        "image": pa.array([image for block in filled for image in block.images], pa.string()).dictionary_encode(),
        "metric": words(block.metric for block in filled),
        "curve": words(block.curve for block in filled),
        "x": words(_to_text(block.x) for block in filled),
        "value": _lists(values, np.repeat([len(block.x) for block in filled], counts)),
    }
    return pa.table(columns)


def to_points(table: pa.Table) -> pa.Table:
    """Return one row per point, in the same order; other columns are repeated.

    Raises:
        ValueError: a row with another number of values than positions.
        TypeError: x and value of different forms.
    """
    import pyarrow as pa

    if not _has_lists(table):
        return table
    table = _one_chunk(table)
    x, value = _positions(table), table.column("value").chunk(0)
    rows = np.repeat(np.arange(len(value)), value.value_lengths().to_numpy())
    points = {"x": x.flatten(), "value": value.flatten()}
    return pa.table({name: points[name] if name in points else table.column(name).take(rows) for name in table.column_names})


def to_blocks(table: pa.Table) -> Iterator[CurveBlock]:
    """Yield the curves in blocks of one metric, curve and x.

    Raises:
        ValueError: a row with another number of values than positions.
        TypeError: x and value of different forms.
    """
    if not len(table):
        return
    table = _one_chunk(table if _has_lists(table) else _to_lists(table))
    x, value, images = _positions(table), table.column("value").chunk(0), table.column("image").chunk(0)
    codes = [table.column(name).chunk(0).indices.to_numpy() for name in ("metric", "curve", "x")]
    _, group, counts = np.unique(np.stack(codes), axis=1, return_inverse=True, return_counts=True)
    for rows in np.split(np.argsort(group.ravel(), kind="stable"), np.cumsum(counts)[:-1]):
        first = int(rows[0])
        metric, curve = (table.column(name)[first].as_py() for name in ("metric", "curve"))
        y = value.take(rows).flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        yield CurveBlock(metric, curve, images.take(rows).to_pylist(), np.asarray(x[first].values), y)


def _has_lists(table: pa.Table) -> bool:
    from pyarrow import types

    lists, texts = types.is_list(table.schema.field("value").type), types.is_dictionary(table.schema.field("x").type)
    if lists != texts:
        raise TypeError("columns x and value: one has a row per point, the other a row per curve")
    return lists


def _one_chunk(table: pa.Table) -> pa.Table:
    """Return the table with each column in one array, text with one dictionary."""
    return table.unify_dictionaries().combine_chunks()


def _positions(table: pa.Table) -> pa.ListArray:
    """Return the x of each row as a list."""
    import pyarrow as pa

    texts, value = table.column("x").chunk(0), table.column("value").chunk(0)
    lists = pa.array([json.loads(text) for text in texts.dictionary.to_pylist()], pa.list_(pa.float64()))
    x = lists.take(texts.indices)
    if x.null_count or value.null_count or not x.value_lengths().equals(value.value_lengths()):
        raise ValueError("column value: lists of other lengths than those of column x")
    return x


def _to_lists(points: pa.Table) -> pa.Table:
    """Return consecutive points of one image, metric and curve as one row."""
    points = _one_chunk(points)
    codes = np.stack([points.column(name).chunk(0).indices.to_numpy() for name in ("image", "metric", "curve")])
    starts = np.flatnonzero(np.append(True, (codes[:, 1:] != codes[:, :-1]).any(0)))[: len(points)]
    lengths = np.diff(np.append(starts, len(points)))
    x, texts, each = points.column("x").to_numpy(), dict[bytes, str](), list[str]()
    for start, length in zip(starts, lengths, strict=True):
        own = x[start : start + length]
        if (known := own.tobytes()) not in texts:
            texts[known] = _to_text(own)
        each.append(texts[known])
    import pyarrow as pa

    columns = {name: points.column(name).take(pa.array(starts)) for name in ("image", "metric", "curve")}
    value = points.column("value").to_numpy()
    return pa.table({**columns, "x": pa.array(each, pa.string()).dictionary_encode(), "value": _lists(value, lengths)})


def _lists(values: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), pa.array(values, pa.float64()))


def _to_text(x: np.ndarray) -> str:
    """JSON array that gives back every bit of x (K,).

    >>> _to_text(np.array([0, 0.1]))
    '[0.0, 0.1]'
    """
    return json.dumps(x.astype(np.float64).tolist())
