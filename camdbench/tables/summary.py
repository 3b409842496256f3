"""The summary: one line per cell, the mean over images with its interval and its cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.files import replacing
from camdbench.core.registries import explainers, is_control, metrics, protocol_of
from camdbench.core.spec import parse_spec
from camdbench.tables.aggregates import aggregate, unit_factor
from camdbench.tables.cell_values import KEY, Cells, cell_data, cells_of, curves_by_cell
from camdbench.tables.intervals import Method, aggregate_interval, mean_intervals
from camdbench.tables.load import load_curves, load_rows, load_run, load_usage
from camdbench.tables.render import to_csv, to_latex, to_markdown
from camdbench.tables.summary_tables import summary_tables
from camdbench.tables.ties import tie_labels

SUMMARY_COLUMNS = (
    *KEY,
    *("mean", "ci_low", "ci_high", "n", "n_failed", "n_undefined", "n_constant"),
    *("higher_is_better", "unit", "passes_per_image", "seconds_per_image", "is_control", "tie_group"),
)
_OF_VALUES = ("mean", "class mean")  # reductions that need no curves
_PASSES = ["forward", "backward", "tail_forward", "tail_backward"]


def summarise(
    run: str | Path | pd.DataFrame,
    *,
    about: Mapping[str, Any] | None = None,
    costs: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
    interval: Method = "percentile",
) -> pd.DataFrame:
    """The number of every data set, split, model, explainer and metric, with 95 % bootstrap intervals over images.

    `mean` is the mean over images, or what the protocol's reduction makes of them, as the maximum over thresholds of
    the mean. It is taken over images with a finite value, those of constant maps included: `n` of them, `n_constant`
    with a constant map; `n_undefined` images for which the metric has no meaning and `n_failed` others have no value.
    `tie_group` holds a letter shared by explainers that are the same on every image. `passes_per_image` counts the forward
    and backward passes, whole or through the tail, that the explainer alone would take; `seconds_per_image` the seconds.

    Args:
        run: a run directory, or rows as `load_rows` returns them, or a part of those.
        about: content of `run.json`; read from the directory, and where it says nothing the registries are asked.
        costs: as `load_usage` returns them; read from the directory.
        curves: as `load_curves` returns them, for metrics whose reduction reads them; read from the directory.
        interval: how the bootstrap's ends are found: `percentile`, or `bca`.

    Returns:
        The columns `SUMMARY_COLUMNS`, cells in the order of the rows.

    Raises:
        UsageError: not a run, nothing in it is finished, or a metric's direction is unknown.
        CamdbenchError: a file of the run is damaged.
    """
    if not isinstance(run, pd.DataFrame):
        about = load_run(run) if about is None else about
        costs = load_usage(run) if costs is None else costs
        folder, run = run, load_rows(run)
        reductions = reductions_of(run["metric"].unique(), about)
        curved = [name for name, reduction in reductions.items() if reduction not in _OF_VALUES]
        curves = load_curves(folder, curved) if curves is None and curved else curves
    return _summary(cells_of(run), about or {}, costs, curves, interval)


def write_summary(run: str | Path, summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """Write `summary.csv`, `summary.md` and `summary.tex` into a run directory, each whole or not at all.

    Args:
        run: the run directory.
        summary: what to write; made from the run's rows where it is not given.

    Returns:
        The summary.

    Raises:
        UsageError: not a run, or nothing in it is finished.
        CamdbenchError: a file of the run is damaged.
    """
    summary = summarise(run) if summary is None else summary
    tables = summary_tables(summary)
    for name, text in (("csv", to_csv(summary)), ("md", to_markdown(tables)), ("tex", to_latex(tables))):
        with replacing(Path(run) / f"summary.{name}") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return summary


def reductions_of(metric_specs: Iterable[str], about: Mapping[str, Any]) -> dict[str, str]:
    """How the number of each metric is made of its images: what held when the run was made, else what its protocol says."""
    recorded = {name: facts.get("switches", {}).get("reduction") for name, facts in about.get("metrics", {}).items()}
    return {name: recorded.get(name) or protocol_of(metrics.parse_one(name)).reduction for name in metric_specs}


def _summary(
    cells: Cells, about: Mapping[str, Any], costs: pd.DataFrame | None, curves: pd.DataFrame | None, interval: Method
) -> pd.DataFrame:
    numbers = _numbers(cells, about, curves, interval)
    units = {name: metric_fact(name, "unit", about) for name in cells.keys["metric"].unique()}
    directions = {name: bool(metric_fact(name, "higher_is_better", about)) for name in units}
    controls = {name: _is_control(name, about) for name in cells.keys["explainer"].unique()}
    table = cells.keys.assign(
        mean=numbers[:, 0],
        ci_low=numbers[:, 1],
        ci_high=numbers[:, 2],
        n=np.count_nonzero(~np.isnan(cells.values), axis=1),
        n_failed=cells.n_failed,
        n_undefined=cells.n_undefined,
        n_constant=cells.n_constant,
        higher_is_better=cells.keys["metric"].map(directions).astype(bool),
        unit=cells.keys["metric"].map(units),
        is_control=cells.keys["explainer"].map(controls).astype(bool),
        tie_group=tie_labels(cells, units),
    )
    table = table.merge(_cost_per_image(costs), on=["model", "explainer"], how="left")
    return table[list(SUMMARY_COLUMNS)]


def _numbers(cells: Cells, about: Mapping[str, Any], curves: pd.DataFrame | None, interval: Method) -> np.ndarray:
    """(N, 3): each cell's number and the ends of its interval."""
    names = cells.keys["metric"]
    reductions = names.map(reductions_of(names.unique(), about)).to_numpy()
    count, total = np.count_nonzero(~np.isnan(cells.values), axis=1), np.nansum(cells.values, axis=1)
    means = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    plain = reductions == "mean"
    found = np.full((len(cells.keys), 3), np.nan)
    found[plain] = np.column_stack([means[plain], mean_intervals(np.compress(plain, cells.values, axis=0), method=interval)])
    by_cell = {} if plain.all() else curves_by_cell(curves)
    for index in np.flatnonzero(~plain):
        cell = cell_data(cells, int(index), by_cell)
        if not count[index] and not cell.curves:  # nothing was measured, as of an explainer without meaning on the model
            continue
        if not cell.curves and reductions[index] not in _OF_VALUES:
            raise UsageError(f"{names.iloc[index]}: made of curves, which rows alone lack; summarise the run, or give curves=")
        whole = aggregate(reductions[index], cell, np.ones((1, len(cell.values))))
        factor = unit_factor(reductions[index], str(metric_fact(names.iloc[index], "unit", about)))
        found[index] = factor * np.concatenate([whole, aggregate_interval(reductions[index], cell, method=interval)])
    return found


def _cost_per_image(costs: pd.DataFrame | None) -> pd.DataFrame:
    """Passes and seconds per image of each model and explainer: the shared parts that it read and its own."""
    columns = ["model", "explainer", "passes_per_image", "seconds_per_image"]
    if costs is None or costs.empty:
        return pd.DataFrame(columns=columns).astype({"passes_per_image": float, "seconds_per_image": float})
    own = costs[costs["stage"].isin(["trace", "explain"])]
    own = own.assign(passes=own[_PASSES].sum(axis=1))
    sums = own.groupby(["model", "explainer", "stage"], sort=False)[["passes", "seconds", "images"]].sum()
    images = sums["images"].where(sums["images"] > 0)
    per_stage = sums[["passes", "seconds"]].div(images, axis=0)
    per_image = per_stage.groupby(["model", "explainer"], sort=False).sum(min_count=1).reset_index()
    return per_image.set_axis(columns, axis=1)


def metric_fact(spec: str, fact: str, about: Mapping[str, Any]) -> Any:
    """A fact of a metric: what held when the run was made; the registry answers for rows that come without their run."""
    recorded = about.get("metrics", {}).get(spec, {})
    return recorded[fact] if fact in recorded else getattr(metrics.get(parse_spec(spec).name).facts, fact)


def _is_control(spec: str, about: Mapping[str, Any]) -> bool:
    recorded = about.get("explainers", {}).get(spec, {})
    if "control" in recorded:
        return bool(recorded["control"])
    parsed = parse_spec(spec)
    return all(part.name in explainers for part in parsed.walk()) and is_control(parsed)
