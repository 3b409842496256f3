"""Tables of part files: rows, usage and predictions with their column types, and how a table is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from camdbench.core.row import Row

if TYPE_CHECKING:
    import pyarrow as pa

_IN_PATH = ("model", "explainer")


class UsageRow(NamedTuple):
    """Usage of one stage of one part.

    Attributes:
        explainer: canonical spec.
        stage: `trace` (shared parts used by the explainer; computed once for all explainers), `explain` (its other passes) or
            `metrics` (with the parts that all explainers share).
        images: images of the part.
        forward: images in forward passes through the whole network.
        backward: images in backward passes through the whole network.
        tail_forward: images in forward passes through the layers after the target layer.
        tail_backward: images in backward passes through these layers.
        seconds: wall time.
        peak_memory_mb: peak memory of the process, on the GPU if it uses one; MB.
    """

    explainer: str
    stage: str
    images: int
    forward: int
    backward: int
    tail_forward: int
    tail_backward: int
    seconds: float
    peak_memory_mb: float


def save_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a table to a Parquet file with page checksums, so that reading detects a flipped byte; `options` of `write_table`."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, write_page_checksum=True, **options)


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([{name: getattr(row, name) for name in schema.names} for row in rows], schema=schema)


def row_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table; model and explainer are in the path."""
    import pyarrow as pa

    kinds = {"label": pa.int64(), "target": pa.int64(), "value": pa.float64()}
    return _table(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in Row._fields if name not in _IN_PATH]))


def usage_table(usage: Sequence[UsageRow]) -> pa.Table:
    """Return usage as a table; the model is in the path."""
    import pyarrow as pa

    kinds = {"explainer": pa.string(), "stage": pa.string(), "seconds": pa.float64(), "peak_memory_mb": pa.float64()}
    return _table(usage, pa.schema([(name, kinds.get(name, pa.int64())) for name in UsageRow._fields]))


def prediction_table(predictions: Mapping[str, tuple[int, float]]) -> pa.Table:
    """Return predicted classes and their probabilities, by image, as a table; the model is in the path."""
    import pyarrow as pa

    classes, probabilities = zip(*predictions.values(), strict=True)
    kinds = {"image": pa.string(), "predicted": pa.int32(), "probability": pa.float32()}
    return pa.table([list(predictions), list(classes), list(probabilities)], schema=pa.schema(list(kinds.items())))
