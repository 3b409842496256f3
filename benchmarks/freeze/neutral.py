"""Neutral form of results: tables without wall-clock time, records without versions and dates, text without paths."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from spelling import folder

_VOLATILE = {"seconds", "peak_memory_mb", "versions", "git", "code", "date", "sessions", "machine"}
_SECONDS_PER_IMAGE, _MEMORY = 0.25, 64.0  # written into the usage of recorded runs, so that printed tables do not depend on the clock


def store_run(run: Path, out: Path, name: str) -> None:
    """Store rows, curves, usage, maps, run.json and the list of files of a run directory."""
    import camdbench

    write_table(camdbench.load_rows(run), out / "rows" / f"{name}.parquet")
    for kind in ("curves", "usage"):
        table = _read_parts(folder(run, kind))
        if table is not None:
            write_table(table.drop(columns=sorted(_VOLATILE & set(table.columns))), out / kind / f"{name}.parquet")
    store_maps(folder(run, "maps"), out / "maps" / f"{name}.safetensors")
    write_json(_record(run), out / "record" / f"{name}.json")
    files = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and not path.name.startswith("."))
    write_text("".join(f"{_masked_name(file)}\n" for file in files), out / "files" / f"{name}.txt")


def store_maps(source: Path, target: Path) -> None:
    """Store all maps below a folder, of safetensors and npz files, in one file, named by part and image."""
    maps = {
        f"{_part_name(path, source)}|{image}": torch.as_tensor(values).contiguous()
        for path in sorted([*source.rglob("[!.]*.safetensors"), *source.rglob("[!.]*.npz")])
        for image, values in (load_file(path) if path.suffix == ".safetensors" else np.load(path)).items()
        if torch.as_tensor(values).ndim
    }
    if maps:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(maps, target)


def store_training(folder_: Path, name: str, out: Path) -> None:
    """Store the weights' hashes, the provenance and the log of a training run."""
    weights = {key: _hash(tensor.numpy().tobytes()) for key, tensor in sorted(load_file(folder_ / f"{name}.safetensors").items())}
    write_json({"weights": weights}, out / "weights" / f"{name}.json")
    provenance = json.loads((folder_ / f"{name}.json").read_text(encoding="utf-8"))
    write_json(without_volatile(provenance), out / "training-record" / f"{name}.json")
    for path in sorted(folder_.glob(f"{name}*.csv")):
        table = pd.read_csv(path, float_precision="round_trip")
        write_table(table.drop(columns=sorted(_VOLATILE & set(table.columns))), out / "logs" / f"{path.stem}.parquet")


def fix_clock(run: Path) -> None:
    """Replace the measured seconds and memory of a run directory by constants."""
    for path in sorted(folder(run, "usage").rglob("[!.]*.parquet")):
        table = pq.read_table(path, partitioning=None)
        images = table["images"].to_pylist()
        for column, values in (("seconds", [_SECONDS_PER_IMAGE * n for n in images]), ("peak_memory_mb", [_MEMORY] * len(images))):
            if column in table.column_names:
                table = table.set_column(table.column_names.index(column), column, pa.array(values, pa.float64()))
        pq.write_table(table, path, write_page_checksum=True)


def without_volatile(value: Any) -> Any:
    """Return a JSON value without times, versions, dates and hashes of code."""
    if isinstance(value, Mapping):
        return {key: without_volatile(item) for key, item in value.items() if key not in _VOLATILE}
    return [without_volatile(item) for item in value] if isinstance(value, list | tuple) else value


def neutral_text(text: str, work: Path) -> str:
    """Return printed text without the working folder and trailing blanks."""
    text = text.replace(str(work), "WORK")
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to Parquet, text columns as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: column.astype(str) if not pd.api.types.is_numeric_dtype(column) else column for name, column in table.items()}
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(plain).reset_index(drop=True), preserve_index=False), path)


def write_json(value: Any, path: Path) -> None:
    """Write JSON; floats keep all their bits."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write text, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _read_parts(source: Path) -> pd.DataFrame | None:
    parts = list(_parts(source))
    return pd.concat(parts, ignore_index=True) if parts else None


def _parts(source: Path) -> Iterator[pd.DataFrame]:
    for path in sorted(source.rglob("[!.]*.parquet")):
        part = _points(pq.read_table(path, partitioning=None).to_pandas())
        for name, value in _partitions(path, source):
            part[name] = value
        yield part.assign(chunk=path.stem[: len("part-00000")])  # usage of a unit has its explainers in the name


def _points(part: pd.DataFrame) -> pd.DataFrame:
    """Return curves that are lists as one row per point, as older states have them."""
    if "x" not in part or pd.api.types.is_numeric_dtype(part["value"]):
        return part
    part = part.assign(x=[json.loads(text) for text in part["x"]]).explode(["x", "value"], ignore_index=True)
    return part.astype({"x": float, "value": float})


def _partitions(path: Path, source: Path) -> Sequence[tuple[str, str]]:
    parents = path.relative_to(source).parts[:-1]
    return [(name, unquote(value)) for name, _, value in (parent.partition("=") for parent in parents)]


def _part_name(path: Path, source: Path) -> str:
    return "|".join([*(value for _, value in _partitions(path, source)), path.stem])


def _record(run: Path) -> dict[str, Any]:
    """Return run.json without volatile fields, with the sum of the passes of all sessions."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    sessions = record.get("sessions") or [json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.glob("sessions/*.json"))]
    passes = pd.DataFrame([session.get("passes") or {} for session in sessions]).sum()
    return without_volatile(record) | {"passes_of_all_sessions": {str(key): int(value) for key, value in passes.items()}}


def _masked_name(file: str) -> str:
    """Return a file name without random and dated parts."""
    return re.sub(r"sessions/.*\.json", "sessions/SESSION.json", re.sub(r"[0-9a-f]{32}", "UUID", file))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else sorted(value) if isinstance(value, set | frozenset) else str(value)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
