"""The run directory: Parquet parts that are either whole or not there, and `run.json`.

RUN/run.json
RUN/rows/model=…/explainer=…/part-00000.parquet     one file per explainer and chunk of images: the job's commit
RUN/points/model=…/explainer=…/part-00000.parquet   curves and the like, of metrics that have them
RUN/costs/model=…/explainer=…/part-00000.parquet
RUN/maps/model=…/explainer=…/part-00000.safetensors
RUN/unfinished/model=…/chunk-00000/*.pt             what an interrupted session has found of a chunk; gone when it is committed
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import replacing
from camdbench.core.rows import Row

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from torch import Tensor

_IN_PATH = ("model", "explainer")


class CostRow(NamedTuple):
    """What one stage of one job took.

    Attributes:
        stage: `trace` (shared parts that the explainer read; paid once for all explainers of a run), `explain` (its
            own passes) or `metrics`.
        images: images of the job.
        forward: images through the whole network.
        backward: images back through the whole network.
        tail_forward: images through the part behind the target layer.
        tail_backward: images back through that part.
        seconds: wall time.
        peak_memory_mb: the process's peak, on the GPU where there is one.
    """

    stage: str
    images: int
    forward: int
    backward: int
    tail_forward: int
    tail_backward: int
    seconds: float
    peak_memory_mb: float


class PointBlock(NamedTuple):
    """What a metric found at several places of some images.

    Attributes:
        metric: canonical spec.
        part: name of the part.
        images: B ids.
        x: (K,) places.
        values: (B, K).
    """

    metric: str
    part: str
    images: list[str]
    x: np.ndarray
    values: np.ndarray


class Job(NamedTuple):
    """One explainer on one chunk of the images of one model."""

    model: str
    explainer: str
    chunk: int

    def file(self, suffix: str) -> Path:
        """Where its part lies below `rows`, `points`, `costs` or `maps`."""
        folder = Path(f"model={quote(self.model, safe='')}", f"explainer={quote(self.explainer, safe='')}")
        return folder / f"part-{self.chunk:05d}.{suffix}"


class Store:
    """A run directory that this process writes to.

    Args:
        root: the directory; made where missing.

    Raises:
        UsageError: it cannot be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
            with replacing(root / ".probe") as probe:
                probe.write_bytes(b"")
            (root / ".probe").unlink()
        except OSError as error:
            raise UsageError(f"--out {root}: cannot be written to ({error.strerror}); choose another folder") from None

    def is_done(self, job: Job) -> bool:
        """Whether the job's rows are there; nothing else counts."""
        return (self.root / "rows" / job.file("parquet")).is_file()

    def unfinished(self, model: str, chunk: int) -> Path:
        """Where the journal of a chunk stands."""
        return self.root / "unfinished" / f"model={quote(model, safe='')}" / f"chunk-{chunk:05d}"

    def tidy(self) -> None:
        """Remove what is left of journals, once nothing is missing."""
        rmtree(self.root / "unfinished", ignore_errors=True)

    def commit(
        self, job: Job, rows: Sequence[Row], points: Sequence[PointBlock], costs: Sequence[CostRow], maps: Mapping[str, Tensor] | None
    ) -> None:
        """Write a finished job, its rows last."""
        if maps is not None:
            from safetensors.torch import save_file

            self._write("maps", job, "safetensors", lambda path: save_file(dict(maps), path))
        if points:
            self._write("points", job, "parquet", lambda path: _save(_point_table(points), path))
        self._write("costs", job, "parquet", lambda path: _save(_table(costs, _cost_schema()), path))
        self._write("rows", job, "parquet", lambda path: _save(_table(rows, _row_schema()), path))

    def read_record(self) -> dict[str, Any] | None:
        """`run.json`, or None where there is none yet.

        Raises:
            UsageError: it is damaged.
        """
        path = self.root / "run.json"
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{path} is damaged; choose another --out or remove the folder") from None

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        with replacing(self.root / "run.json") as path:
            path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _write(self, kind: str, job: Job, suffix: str, write: Callable[[Path], object]) -> None:
        path = self.root / kind / job.file(suffix)
        try:
            with replacing(path) as temporary:
                write(temporary)
        except OSError as error:
            raise CamdbenchError(f"cannot write {path} ({error.strerror}); what is finished is kept, run the same command again") from error


def _save(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, write_page_checksum=True)  # so that a flipped byte is an error when it is read


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([{name: getattr(row, name) for name in schema.names} for row in rows], schema=schema)


def _point_table(blocks: Sequence[PointBlock]) -> pa.Table:
    """Tidy rows: one for each image and place; text as dictionaries, which a curve of 225 points would else repeat."""
    import numpy as np
    import pyarrow as pa

    def words(texts: list[str], counts: list[int]) -> pa.DictionaryArray:
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        codes = np.repeat([places[text] for text in texts], counts).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(places), pa.string()))

    sizes = [block.values.size for block in blocks]
    each = [(image, len(block.x)) for block in blocks for image in block.images]
    columns = {
        "image": words([image for image, _ in each], [count for _, count in each]),
        "metric": words([block.metric for block in blocks], sizes),
        "part": words([block.part for block in blocks], sizes),
        "x": np.concatenate([np.tile(block.x, len(block.images)) for block in blocks]).astype(np.float64),
        "value": np.concatenate([block.values.ravel() for block in blocks]).astype(np.float64),
    }
    return pa.table(columns)


def _row_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"label": pa.int64(), "target": pa.int64(), "value": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Row._fields if name not in _IN_PATH])


def _cost_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"stage": pa.string(), "seconds": pa.float64(), "peak_memory_mb": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.int64())) for name in CostRow._fields])
