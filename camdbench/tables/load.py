"""Read a run directory: rows, curves, usage and record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import numpy as np
import pandas as pd

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.row import Row

SCHEMA = 2  # of run.json; directories with another schema are refused
USAGE_COLUMNS = ("stage", "images", "forward", "backward", "tail_forward", "tail_backward", "seconds", "peak_memory_mb")
CURVE_COLUMNS = ("model", "explainer", "image", "metric", "curve", "x", "value")
_PARTITIONS = ("model", "explainer")  # in the path only
_IDENTITY = ("model", "explainer", "image", "metric")  # identifies a row in its run, in the order of the table


def load_run(run: str | Path) -> dict[str, Any]:
    """Read the record of a run: `run.json`, and its sessions by their start.

    Explainers and plug-ins of all sessions are merged into the record.

    Raises:
        UsageError: no such folder, not a run, or a run of another version of camdbench.
        CamdbenchError: a file is damaged.
    """
    folder, file = Path(run), Path(run) / "run.json"
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give a run directory, as written by camdbench run --out")
    if not file.is_file():
        raise UsageError(f"{folder}: not a run directory (no run.json); give one written by camdbench run --out")
    about = _read_json(file)
    if about.get("schema") != SCHEMA:
        raise UsageError(f"{file}: schema = {about.get('schema')}: this version reads schema {SCHEMA}; repeat the run with another --out")
    about["sessions"] = [_read_json(path) for path in sorted(folder.glob("sessions/[!.]*.json"))]
    for kind in ("explainers", "plugins"):
        for session in about["sessions"]:
            about[kind] = {**about.get(kind, {}), **session.get(kind, {})}
    return about


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        _raise_damaged(file, error)
    if not isinstance(content, dict):
        _raise_damaged(file, TypeError("not a JSON object"))
    return content


def load_rows(run: str | Path) -> pd.DataFrame:
    """Read all rows of a run.

    Args:
        run: a run directory.

    Returns:
        One row per model, explainer, image and metric, in the order of the configuration, with the columns of `core.row.Row`;
        values are in the metric's unit.

    Raises:
        UsageError: no such folder, not a run, or no finished part.
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    about = load_run(run)
    rows = _read_parts(Path(run) / "rows", Row._fields)
    if rows.empty:
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
    return _read_parts(Path(run) / "usage", (*_PARTITIONS, *USAGE_COLUMNS))


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
    wanted = None if metrics is None else [("metric", "in", list(metrics))]
    return _read_parts(Path(run) / "curves", CURVE_COLUMNS, wanted)


def _read_parts(folder: Path, columns: Sequence[str], wanted: list[tuple[str, str, list[str]]] | None = None) -> pd.DataFrame:
    """Read all finished parts below `folder`; names with a leading dot are unfinished."""
    parts = [_read_part(path, columns, wanted) for path in sorted(folder.glob("model=*/explainer=*/[!.]*.parquet"))]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))


def _read_part(path: Path, columns: Sequence[str], wanted: list[tuple[str, str, list[str]]] | None) -> pd.DataFrame:
    inside = [name for name in columns if name not in _PARTITIONS]
    try:
        part = pd.read_parquet(
            path, columns=inside, filters=wanted, partitioning=None, page_checksum_verification=True
        )  # model and explainer are read from the path below
    except (OSError, ValueError, LookupError, TypeError) as error:  # errors raised for truncated or altered files
        _raise_damaged(path, error)
    for folder in (path.parents[1], path.parent):
        name, _, value = folder.name.partition("=")
        part[name] = unquote(value)
    return part[list(columns)]


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


def _raise_damaged(file: Path, error: Exception) -> NoReturn:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise CamdbenchError(f"{file}: damaged ({reason}); delete it and run the same command again") from error
