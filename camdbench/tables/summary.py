"""Summary of a run: one row per cell, with the mean over images, its interval and the usage per image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camdbench.core.errors import CamdbenchWarning, UnwritableFile, UsageError
from camdbench.core.registries import explainers, is_control, metrics, protocol_of
from camdbench.core.spec import parse_spec
from camdbench.core.written_files import WRONG_PATH, write_whole
from camdbench.tables.aggregates import aggregate, unit_factor
from camdbench.tables.cell_values import KEY, Cells, cell_data, cells_of
from camdbench.tables.curve_lists import FrameCurves, RunCurves
from camdbench.tables.intervals import Method, aggregate_interval, mean_intervals
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.render import to_csv, to_latex, to_markdown
from camdbench.tables.summary_tables import summary_tables
from camdbench.tables.ties import tie_labels

SUMMARY_COLUMNS = (
    *KEY,
    *("mean", "ci_low", "ci_high", "n", "n_failed", "n_not_applicable", "n_undefined", "n_constant"),
    *("higher_is_better", "unit", "passes_per_image", "seconds_per_image", "is_control", "tie_group"),
)
_OF_VALUES = ("mean", "class mean")  # reductions without curves
_PASSES = ["forward", "backward", "tail_forward", "tail_backward"]


def summarise(
    *runs: str | Path | Pooled | pd.DataFrame | Cells,
    about: Mapping[str, Any] | None = None,
    usage: pd.DataFrame | None = None,
    curves: pd.DataFrame | RunCurves | None = None,
    interval: Method | None = "percentile",
) -> pd.DataFrame:
    """Means over images with 95 % bootstrap intervals, for every data set, split, model, explainer and metric.

    `mean` is the mean over images, or the result of the protocol's reduction, such as the maximum over thresholds. It uses the `n`
    images with a finite value, of which `n_constant` have a constant map. `n_failed` images have an error; for `n_undefined` images
    the metric is undefined, and for `n_not_applicable` the explainer or metric does not apply. `tie_group` is a letter shared by
    explainers with equal values on every image. `passes_per_image` counts forward and backward passes, through the model or its
    tail, of the explainer run alone; `seconds_per_image` its wall time.

    Args:
        *runs: a run directory; several, whose different cells are pooled (`camdbench/tables/pool.py`), or the result of `load_pooled`;
            or rows as returned by `load_rows`, or a subset of them; or cells as returned by `load_cells`.
        about: content of `run.json`; default: read from the directory, else facts of the registries.
        usage: output of `load_usage`; default: read from the directory.
        curves: `RunCurves`, or the output of `load_curves`, for reductions that read curves; default: those of the directory.
        interval: bootstrap method: `percentile`, or `bca` (bias-corrected and accelerated); None: no intervals.

    Returns:
        The columns `SUMMARY_COLUMNS`, and `objective` if it is not the logit. Cells are in the order of the rows;
        `mean`, `ci_low` and `ci_high` are in the metric's unit.

    Raises:
        UsageError: not a run, no finished part, runs that cannot be pooled, or curves are missing.
        CamdbenchError: a file of the run is damaged.
    """
    if len(runs) == 1 and isinstance(runs[0], pd.DataFrame | Cells):
        cells = runs[0] if isinstance(runs[0], Cells) else cells_of(runs[0])
        return _summary(cells, about or {}, usage, curves, interval)
    pooled = load_pooled(_folders(runs))
    about = pooled.about if about is None else about
    usage = pooled.usage() if usage is None else usage
    curves = RunCurves(pooled.folders) if curves is None else curves
    return _summary(pooled.cells, about, usage, curves, interval)


def _folders(runs: Sequence[str | Path | Pooled | pd.DataFrame | Cells]) -> list[str | Path | Pooled]:
    found = [run for run in runs if not isinstance(run, pd.DataFrame | Cells)]
    if len(found) < len(runs):
        raise UsageError(f"{len(runs)} runs, some of them rows or cells: only run directories can be pooled; give their paths")
    return found


def write_summary(run: str | Path, summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """Write `summary.csv`, `summary.md` and `summary.tex` to a run directory, each atomically.

    Warns if they cannot be written, as in a read-only directory.

    Args:
        run: the run directory.
        summary: the summary; default: computed from the rows of the run.

    Returns:
        The summary.

    Raises:
        UsageError: not a run, or no finished part.
        UnwritableFile: the disk is full or damaged.
        CamdbenchError: a file of the run is damaged.
    """
    summary = summarise(run) if summary is None else summary
    tables = summary_tables(summary)
    for name, text in (("csv", to_csv(summary)), ("md", to_markdown(tables)), ("tex", to_latex(tables))):
        path = Path(run) / f"summary.{name}"
        try:
            write_whole(path, text, resumes=True)
        except UnwritableFile as error:
            cause = error.__cause__
            if not (isinstance(cause, OSError) and cause.errno in WRONG_PATH):
                raise
            warnings.warn(f"{path}: not written ({cause.strerror})", CamdbenchWarning, stacklevel=2)
    return summary


def reductions_of(metric_specs: Iterable[str], about: Mapping[str, Any]) -> dict[str, str]:
    """Return the reduction of each metric, from the record of the run, else from its protocol."""
    recorded = {name: facts.get("switches", {}).get("reduction") for name, facts in about.get("metrics", {}).items()}
    return {name: recorded.get(name) or protocol_of(metrics.parse_one(name)).reduction for name in metric_specs}


def _summary(
    cells: Cells, about: Mapping[str, Any], usage: pd.DataFrame | None, curves: pd.DataFrame | RunCurves | None, interval: Method | None
) -> pd.DataFrame:
    numbers = _numbers(cells, about, curves, interval)
    units = {name: metric_fact(name, "unit", about) for name in cells.keys["metric"].unique()}
    directions = {name: metric_fact(name, "higher_is_better", about) for name in units}
    rises = cells.keys["metric"].map(directions)  # None: a direction is not stated
    controls = {name: is_control_of(name, about) for name in cells.keys["explainer"].unique()}
    table = cells.keys.assign(
        mean=numbers[:, 0],
        ci_low=numbers[:, 1],
        ci_high=numbers[:, 2],
        n=np.count_nonzero(~np.isnan(cells.values), axis=1),
        n_failed=cells.n_failed,
        n_not_applicable=cells.n_not_applicable,
        n_undefined=cells.n_undefined,
        n_constant=cells.n_constant,
        higher_is_better=rises if rises.isna().any() else rises.astype(bool),
        unit=cells.keys["metric"].map(units),
        is_control=cells.keys["explainer"].map(controls).astype(bool),
        tie_group=tie_labels(cells, units),
    )
    table = table.merge(_usage_per_image(usage), on=["model", "explainer"], how="left")
    own_score = about.get("config", {}).get("objective", "logit")
    return table[list(SUMMARY_COLUMNS)].assign(**({} if own_score == "logit" else {"objective": own_score}))


def _numbers(cells: Cells, about: Mapping[str, Any], curves: pd.DataFrame | RunCurves | None, interval: Method | None) -> np.ndarray:
    """Return (N, 3): number and interval ends of each cell; NaN without an interval."""
    names = cells.keys["metric"]
    reductions = names.map(reductions_of(names.unique(), about)).to_numpy()
    count, total = np.count_nonzero(~np.isnan(cells.values), axis=1), np.nansum(cells.values, axis=1)
    means = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    plain = reductions == "mean"
    found = np.full((len(cells.keys), 3), np.nan)
    found[plain, 0] = means[plain]
    if interval is not None:
        found[plain, 1:] = mean_intervals(np.compress(plain, cells.values, axis=0), method=interval)
    source = FrameCurves(curves) if isinstance(curves, pd.DataFrame) else curves
    for index in np.flatnonzero(~plain):
        cell = cell_data(cells, int(index), None if reductions[index] in _OF_VALUES else source)
        if not count[index] and not cell.curves:  # no value, as of an explainer that does not apply
            continue
        if not cell.curves and reductions[index] not in _OF_VALUES:
            raise UsageError(f"metric {names.iloc[index]}: needs curves; give the run directory, or curves=")
        whole = aggregate(reductions[index], cell, np.ones((1, len(cell.values))))
        ends = np.full(2, np.nan) if interval is None else aggregate_interval(reductions[index], cell, method=interval)
        factor = unit_factor(reductions[index], str(metric_fact(names.iloc[index], "unit", about)))
        found[index] = factor * np.concatenate([whole, ends])
    return found


def _usage_per_image(usage: pd.DataFrame | None) -> pd.DataFrame:
    """Passes and seconds per image of each model and explainer, shared parts included."""
    columns = ["model", "explainer", "passes_per_image", "seconds_per_image"]
    if usage is None or usage.empty:
        return pd.DataFrame(columns=columns).astype({"passes_per_image": float, "seconds_per_image": float})
    own = usage[usage["stage"].isin(["trace", "explain"])]
    own = own.assign(passes=own[_PASSES].sum(axis=1))
    sums = own.groupby(["model", "explainer", "stage"], sort=False)[["passes", "seconds", "images"]].sum()
    images = sums["images"].where(sums["images"] > 0)
    per_stage = sums[["passes", "seconds"]].div(images, axis=0)
    per_image = per_stage.groupby(["model", "explainer"], sort=False).sum(min_count=1).reset_index()
    return per_image.set_axis(columns, axis=1)


def metric_fact(spec: str, fact: str, about: Mapping[str, Any]) -> Any:
    """Return a fact of a metric from the record of the run, else from the registry."""
    recorded = about.get("metrics", {}).get(spec, {})
    return recorded[fact] if fact in recorded else getattr(metrics.get(parse_spec(spec).name).facts, fact)


def is_control_of(spec: str, about: Mapping[str, Any]) -> bool:
    """Return whether an explainer is a control, from the record of the run, else from the registry."""
    recorded = about.get("explainers", {}).get(spec, {})
    if "control" in recorded:
        return bool(recorded["control"])
    parsed = parse_spec(spec)
    return all(part.name in explainers for part in parsed.walk()) and is_control(parsed)
