"""Read a run directory: rows, curves, usage and record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, PositiveInt

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import read_json, reading
from camdbench.core.row import Row
from camdbench.tables.part_files import read_parts
from camdbench.tables.sessions import SessionForm, read_sessions

SCHEMA = 3  # of run.json, of new runs
_READ = (2, 3)  # schemas that are read; 2 has neither packs nor usage by unit
MODEL_FACTS: dict[str, Any] = {  # of a model in run.json, on which its values depend; with the values of absent ones
    **dict.fromkeys(
        ("weights_hash", "code", "layer", "mean", "std", "output", "batch_mates", "prefix_tokens", "input_size", "class_names")
    ),
    "channels": "rgb",
    "preprocess": None,
}
USAGE_COLUMNS = ("stage", "images", "forward", "backward", "tail_forward", "tail_backward", "seconds", "peak_memory_mb")
CURVE_COLUMNS = ("model", "explainer", "image", "metric", "curve", "x", "value")
_PARTITIONS = ("model", "explainer")  # in the path only
_SECTIONS = ("config", "dataset", "models", "explainers", "metrics", "plugins", "given")  # of run.json
_FIX = "delete it and run the same command again"
_IDENTITY = ("model", "explainer", "image", "metric")  # identifies a row in its run, in the order of the table


class _MetricFacts(BaseModel):
    unit: str = ""
    higher_is_better: bool | None = False
    tolerance: float = 0.0
    switches: dict[str, str] = {}
    options: dict[str, Any] = {}


class _TrainingFacts(BaseModel):
    recipe: str
    seed: int


class _ModelFacts(BaseModel):
    training: _TrainingFacts | None = None


class _ConfigFacts(BaseModel):
    explainers: list[str] = []
    metrics: list[str] = []
    models: list[str] = []
    save_maps: str = "none"


class _DatasetFacts(BaseModel):
    fingerprint: str = ""


class _RunForm(SessionForm, BaseModel):
    run: str = ""
    config: _ConfigFacts = _ConfigFacts()
    dataset: _DatasetFacts = _DatasetFacts()
    models: dict[str, _ModelFacts] = {}
    metrics: dict[str, _MetricFacts] = {}
    ids: list[str] = []
    chunk_size: PositiveInt = 1


def load_run(run: str | Path) -> dict[str, Any]:
    """Read the record of a run: `run.json`, and under `sessions` its session files by their start.

    Explainers, plug-ins and hashes of given maps of all sessions are merged into the record. `ended` of a session is finished,
    interrupted, error, running or lost (see `tables.sessions.read_sessions`).

    Raises:
        UsageError: no such folder, not a run, or a run of another version of camdbench.
        CamdbenchError: a file is damaged.
    """
    folder, file = Path(run), Path(run) / "run.json"
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give a run directory, as written by camdbench run --out")
    if not file.is_file():
        raise UsageError(f"{folder}: not a run directory (no run.json); give one written by camdbench run --out")
    about = read_json(file, fix=_FIX, error=CamdbenchError)
    _check_schema(file, about.get("schema"))
    with reading(file, fix=_FIX, error=CamdbenchError):
        _RunForm.model_validate(about)
    sections = {name: dict[str, Any]() for name in _SECTIONS}
    about: dict[str, Any] = {"run": folder.name, "ids": list[str](), "chunk_size": 1, **sections, **about}
    about["sessions"] = read_sessions(folder)
    for kind in ("explainers", "plugins", "given"):
        for session in about["sessions"]:
            about[kind] = {**about.get(kind, {}), **session.get(kind, {})}
    return about


def _check_schema(file: Path, schema: object) -> None:
    if schema in _READ:
        return
    newer = isinstance(schema, int) and schema > SCHEMA
    known, fix = " and ".join(map(str, _READ)), "update camdbench" if newer else "repeat the run with another --out"
    raise UsageError(f"{file}: schema = {schema!r}: this version reads schema {known}; {fix}")


def load_rows(run: str | Path, chunks: range | None = None) -> pd.DataFrame:
    """Read all rows of a run.

    Args:
        run: a run directory.
        chunks: chunks of images to read; default: all.

    Returns:
        One row per model, explainer, image and metric, in the order of the configuration, with the columns of `core.row.Row`;
        values are in the metric's unit.

    Raises:
        UsageError: no such folder, not a run, or no finished part at all.
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    about = load_run(run)
    rows = _table(run, "rows", Row._fields, chunks=chunks)
    if chunks is not None:
        size, ids = about["chunk_size"], about["ids"]
        rows = rows[rows["image"].isin({name for chunk in chunks for name in ids[chunk * size : (chunk + 1) * size]})]
    elif rows.empty:
        raise UsageError(f"{run}: no rows, as no job is finished; run the same command again")
    config = about.get("config", {})
    ranks = [
        _ranks(rows["model"], [*config.get("models", ()), *about.get("models", ())]),
        _ranks(rows["explainer"], [*config.get("explainers", ()), *about.get("explainers", ())]),
        _ranks(rows["image"], about.get("ids", ())),
        _ranks(rows["metric"], [*config.get("metrics", ()), *about.get("metrics", ())]),
    ]
    order = np.lexsort(ranks[::-1])
    _refuse_twice(rows, np.stack(ranks)[:, order], order, run)
    return rows.take(order).reset_index(drop=True)


def load_usage(run: str | Path) -> pd.DataFrame:
    """Read the usage of a run: model, explainer and `USAGE_COLUMNS`; empty if there is none.

    A part has one row per stage: `trace` (shared parts used by the explainer), `explain` (its other passes), `metrics`.

    Raises:
        UsageError: no such folder, or not a run.
        CamdbenchError: a part is damaged.
    """
    load_run(run)
    return _table(run, "usage", (*_PARTITIONS, *USAGE_COLUMNS))


def load_curves(run: str | Path, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the curves of a run: the columns `CURVE_COLUMNS`.

    Args:
        run: the run directory.
        metrics: metric specs; default: all.

    Raises:
        UsageError: no such folder, or not a run.
        CamdbenchError: a part is damaged.
    """
    load_run(run)
    return _table(run, "curves", CURVE_COLUMNS, metrics)


def _table(
    run: str | Path, kind: str, columns: Sequence[str], metrics: Sequence[str] | None = None, chunks: range | None = None
) -> pd.DataFrame:
    """Read all finished parts of one kind, or their rows of some metrics; text is plain."""
    import pyarrow as pa

    tables = [table for _, table in read_parts(Path(run), kind, columns, metrics, chunks) if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(columns))
    form = pa.schema([(own.name, pa.string() if pa.types.is_dictionary(own.type) else own.type) for own in tables[0].schema])
    return pa.concat_tables([table.cast(form) for table in tables]).combine_chunks().to_pandas()


def _ranks(values: pd.Series, order: Iterable[str]) -> np.ndarray:
    """Return the position of each value in `order`; other values follow, sorted.

    >>> _ranks(pd.Series(["b", "z", "a", "c"]), ["c", "b"]).tolist()
    [1, 3, 2, 0]
    """
    codes, found = pd.factorize(values)
    places = {name: place for place, name in enumerate(dict.fromkeys(order))}
    others = sorted(set(found) - set(places))
    places |= {name: len(places) + place for place, name in enumerate(others)}
    return np.array([places[name] for name in found], dtype=np.int64)[codes]


def _refuse_twice(rows: pd.DataFrame, ranks: np.ndarray, order: np.ndarray, run: str | Path) -> None:
    """Refuse duplicate rows, which would weight an image twice in a mean."""
    twice = np.flatnonzero((ranks[:, 1:] == ranks[:, :-1]).all(0))
    if len(twice):
        first = rows.iloc[order[twice[0]]]
        raise CamdbenchError(
            f"{run}: image {first['image']!r} occurs twice for {first['explainer']} and {first['metric']} on {first['model']}; "
            "delete that folder under rows/ and run the same command again"
        )
