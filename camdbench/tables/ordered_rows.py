"""Rows of a run in the order of its configuration, from the codes of their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from camdbench.core.errors import CamdbenchError
from camdbench.core.row import SCORED
from camdbench.tables.part_files import read_parts

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("model", "explainer", "image", "metric")  # identifies a row in its run, in the order of the table


def ordered_rows(
    run: str | Path,
    about: Mapping[str, Any],
    columns: Sequence[str],
    metrics: Sequence[str] | None = None,
    explainers: Sequence[str] | None = None,
    *,
    missing: bool = False,
    chunks: range | None = None,
) -> pa.Table:
    """Read columns of the rows of a run, among them `IDENTITY`.

    Args:
        run: the run directory.
        about: its record.
        columns: columns of the table.
        metrics: metric specs; default: all.
        explainers: explainer specs; default: all.
        missing: only the rows without a value.
        chunks: only the images of these chunks.

    Raises:
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    import pyarrow as pa

    parts = read_parts(Path(run), "rows", columns, metrics, explainers, chunks=chunks)
    tables = [_missing(table) if missing else table for _, table in parts]
    if chunks is not None:  # a pack holds others too
        size, ids = about["chunk_size"], about["ids"]
        wanted = [name for chunk in chunks for name in ids[chunk * size : (chunk + 1) * size]]
        tables = [_of_images(table, wanted) for table in tables]
    if not any(map(len, tables)):
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    whole = joined([table for table in tables if len(table)])
    del tables
    key = np.zeros(len(whole), dtype=np.int64)
    for name, order in orders_of(about).items():
        names, codes = encoded(whole.column(name).combine_chunks())
        key = key * len(names) + places_of(names, order)[codes]
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(np.diff(key[order]) == 0)
    if len(twice):
        model, explainer, image, metric = (whole.column(name)[order[twice[0]]].as_py() for name in IDENTITY)
        raise CamdbenchError(
            f"{run}: image {image!r} occurs twice for {explainer} and {metric} on {model}; "
            "delete that folder under rows/ and run the same command again"
        )
    return whole.take(order)


def _missing(table: pa.Table) -> pa.Table:
    names, codes = encoded(table.column("status").combine_chunks())
    return table.filter(np.array([name not in SCORED for name in names], dtype=bool)[codes])


def _of_images(table: pa.Table, images: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.field("image").cast(pa.string()).isin(list(images)))


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Return one table, with one dictionary for each column of text."""
    import pyarrow as pa

    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def plain(table: pa.Table) -> pd.DataFrame:
    """Return a frame with text in place of codes."""
    import pyarrow as pa

    kinds = [pa.large_string() if pa.types.is_dictionary(own.type) else own.type for own in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True)))).to_pandas()


def encoded(column: pa.DictionaryArray) -> tuple[list[str], np.ndarray]:
    """Return the names of a column of text, and the index (n,) of each value among them."""
    return column.dictionary.to_pylist(), column.indices.to_numpy(zero_copy_only=False)


def orders_of(about: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names in each column of `IDENTITY` in the order of the configuration."""
    config, kinds = about.get("config", {}), {"model": "models", "explainer": "explainers", "metric": "metrics"}
    orders = {column: [*config.get(kind, ()), *about.get(kind, ())] for column, kind in kinds.items()} | {"image": about.get("ids", [])}
    return {column: orders[column] for column in IDENTITY}


def places_of(names: Sequence[str], order: Iterable[str]) -> np.ndarray:
    """Return the position (n,) of each of n different names among them, by their place in `order`; others follow, sorted.

    >>> places_of(["b", "z", "a", "c"], ["x", "c", "b"]).tolist()
    [1, 3, 2, 0]
    """
    there = set(names)
    known = [name for name in dict.fromkeys(order) if name in there]
    places = {name: place for place, name in enumerate([*known, *sorted(there.difference(known))])}
    return np.array([places[name] for name in names], dtype=np.int64)
