"""Read a run directory: rows, curves, usage and record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, PositiveInt

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import read_json, reading
from camdbench.core.row import Row
from camdbench.core.spec import parse_specs
from camdbench.tables.ordered_rows import IDENTITY, joined, ordered_rows, plain
from camdbench.tables.part_files import read_parts

Selection = str | Sequence[str] | None  # specs as in rows: a list, or comma-separated; None: all
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


class _ExplainerFacts(BaseModel):
    control: bool = False


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


class _SessionForm(BaseModel):
    explainers: dict[str, _ExplainerFacts] = {}
    plugins: dict[str, str] = {}
    given: dict[str, str] = {}


class _RunForm(_SessionForm):
    run: str = ""
    config: _ConfigFacts = _ConfigFacts()
    dataset: _DatasetFacts = _DatasetFacts()
    models: dict[str, _ModelFacts] = {}
    metrics: dict[str, _MetricFacts] = {}
    ids: list[str] = []
    chunk_size: PositiveInt = 1


def load_run(run: str | Path) -> dict[str, Any]:
    """Read the record of a run: `run.json`, and its sessions by their start.

    Explainers, plug-ins and hashes of given maps of all sessions are merged into the record.

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
    about["sessions"] = [
        read_json(path, _SessionForm, fix=_FIX, error=CamdbenchError) for path in sorted(folder.glob("sessions/[!.]*.json"))
    ]
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


def load_rows(run: str | Path, *, metrics: Selection = None, explainers: Selection = None, categories: bool = False) -> pd.DataFrame:
    """Read the rows of a run.

    Args:
        run: a run directory.
        metrics: metric specs as in rows; default: all.
        explainers: explainer specs as in rows; default: all.
        categories: text as categories, which need a sixth of the memory.

    Returns:
        One row per model, explainer, image and metric, in the order of the configuration, with the columns of `core.row.Row`;
        values are in the metric's unit.

    Raises:
        UsageError: no such folder, not a run, no finished part, or no rows of a metric or explainer.
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    about = load_run(run)
    table = ordered_rows(run, about, Row._fields, specs_of(metrics), specs_of(explainers))
    refuse_absent(run, about, {"metrics": metrics, "explainers": explainers}, table.column("metric"), table.column("explainer"))
    return table.to_pandas() if categories else plain(table)


def load_missing(run: str | Path, explainers: Selection = None) -> pd.DataFrame:
    """Read why values are missing: the rows with a status other than `ok` and `constant_map`.

    Args:
        run: a run directory.
        explainers: explainer specs as in rows; default: all.

    Returns:
        The columns model, explainer, image, metric, status and reason, in the order of `load_rows`; may be empty.

    Raises:
        UsageError: no such folder, or not a run.
        CamdbenchError: a part is damaged, or an image occurs twice.
    """
    return plain(ordered_rows(run, load_run(run), (*IDENTITY, "status", "reason"), None, specs_of(explainers), missing=True))


def specs_of(given: Selection) -> list[str] | None:
    """Return specs as a list, from a list or comma-separated text.

    >>> specs_of("ad,ag"), specs_of(["ad"]), specs_of(None)
    (['ad', 'ag'], ['ad'], None)
    """
    if given is None:
        return None
    return [str(spec) for spec in parse_specs(given)] if isinstance(given, str) else [str(spec) for spec in given]


def refuse_absent(run: str | Path, about: Mapping[str, Any], chosen: Mapping[str, Selection], *found: Any) -> None:
    """Refuse a run without rows, and specs without rows.

    Args:
        run: the run directory.
        about: its record.
        chosen: the selection by kind, `metrics` and `explainers`.
        *found: the specs of each kind in rows.
    """
    for (kind, given), column in zip(chosen.items(), found, strict=True):
        there = set(column.unique().tolist())
        if absent := [spec for spec in specs_of(given) or () if spec not in there]:
            raise UsageError(f"{kind} = {','.join(absent)}: no rows in {run}; choose from {', '.join(about[kind])}")
    if not len(found[0]):
        raise UsageError(f"{run}: no rows, as no job is finished; run the same command again")


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


def _table(run: str | Path, kind: str, columns: Sequence[str], metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Read all finished parts of one kind, or their rows of some metrics; text is plain."""
    tables = [table for _, table in read_parts(Path(run), kind, columns, metrics) if len(table)]
    return plain(joined(tables)) if tables else pd.DataFrame(columns=list(columns))
