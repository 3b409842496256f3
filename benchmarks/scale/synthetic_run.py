"""A run directory with random values, written with the schema and the functions of the runner.

    python benchmarks/scale/synthetic_run.py FOLDER IMAGES CHUNK [--packed]

Of each explainer the first part is written by `RunDirectory.write`, the others with the columns of that file. 0.3 % of the values
are undefined, in each cell at other images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camdbench.core.row import Row
from camdbench.runner.part_tables import UsageRow
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord, part_file

MODEL = "resnet50"
EXPLAINERS = (
    *("gradcam", "gradcam++", "xgradcam", "hirescam", "layercam", "opticam", "scorecam", "ablationcam", "eigencam", "rise"),
    *("integrated_gradients", "smoothgrad", "saliency", "fakecam", "random"),
)
METRICS = tuple(f"metric{number:02d}" for number in range(20))
MISSING = 0.003
PROTOCOLS = dict(zip(METRICS, ("opticam", "default") * 10, strict=True))


def record_of(name: str, ids: list[str], chunk: int) -> RunRecord:
    """The record of the run, as far as tables read it."""
    facts = {"paper": "none", "unit": "%", "higher_is_better": True, "tolerance": 0.5, "switches": {"reduction": "mean"}}
    config = {"explainers": list(EXPLAINERS), "metrics": list(METRICS), "models": [MODEL], "dataset": "imagenet", "split": "val"}
    return RunRecord(
        run=name,
        config=config,
        dataset={},
        models={MODEL: {}},
        code="",
        maps=None,
        map_normalisation=None,
        plugins={},
        explainers={spec: {"paper": "none", "control": spec in ("fakecam", "random")} for spec in EXPLAINERS},
        metrics={spec: facts | {"protocol": PROTOCOLS[spec]} for spec in METRICS},
        ids=ids,
        chunk_size=chunk,
    )


def values_of(images: int, seed: int) -> np.ndarray:
    """Values of one explainer (images, metrics) in [0, 100], NaN where undefined."""
    rng = np.random.default_rng(seed)
    values = 100 * rng.beta(2, 3 + seed / 30, (images, len(METRICS)))
    values[rng.random(values.shape) < MISSING] = np.nan
    return values


def row(run: str, image: str, explainer: str, metric: str, value: float) -> Row:
    """One row."""
    status, reason = ("undefined", "no defined value") if np.isnan(value) else ("ok", "")
    return Row(run, "imagenet", "val", image, 7, MODEL, explainer, "label", 7, metric, PROTOCOLS[metric], "00c0ffee", value, status, reason)


def table_of(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table with the columns of a part."""
    columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    return pa.table([pa.array(columns[name], kind) for name, kind in zip(schema.names, schema.types, strict=True)], schema=schema)


def write_run(folder: Path, images: int, chunk: int) -> None:
    """Write the run."""
    directory, ids = RunDirectory(folder), [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, images + 1)]
    directory.create_record(record_of(folder.name, ids, chunk))
    for seed, explainer in enumerate(EXPLAINERS):
        values, schema = values_of(images, seed), None
        for part, start in enumerate(range(0, images, chunk)):
            key, own = PartKey(MODEL, explainer, part), range(start, min(start + chunk, images))
            rows = [row(folder.name, ids[i], explainer, *cell) for i in own for cell in zip(METRICS, values[i].tolist(), strict=True)]
            usage = UsageRow(explainer, "explain", len(own), 2 * len(own), len(own), 0, 0, 0.1, 1000.0)
            if schema is None:
                directory.write_usage(MODEL, part, [usage])
                directory.write(key, rows, None, None)
                schema = pq.read_schema(part_file(folder, "rows", key))
            else:
                pq.write_table(table_of(rows, schema), part_file(folder, "rows", key), write_page_checksum=True)


def main() -> None:
    """Write a run, and pack it on request."""
    folder, images, chunk = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    write_run(folder, images, chunk)
    if "--packed" in sys.argv:
        from camdbench.runner.packs import compact

        compact(folder)


if __name__ == "__main__":
    main()
