"""The summary: one line per cell, the mean over images with its interval and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camdbench.core.catalogue import explainers, is_control, metrics
from camdbench.core.files import replacing
from camdbench.core.spec import parse_spec
from camdbench.tables.cells import Cells, cells_of
from camdbench.tables.intervals import mean_intervals
from camdbench.tables.layout import SUMMARY_COLUMNS
from camdbench.tables.load import load_costs, load_rows, load_run
from camdbench.tables.render import to_csv, to_latex, to_markdown
from camdbench.tables.ties import tie_labels

_PASSES = ["forward", "backward", "tail_forward", "tail_backward"]


def summarise(run: str | Path | pd.DataFrame, *, about: Mapping[str, Any] | None = None, costs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean over images of every data set, split, model, explainer and metric, with 95 % bootstrap intervals.

    The mean is taken over images with a finite value, those of constant maps included: `n` of them, `n_constant` with a
    constant map, `n_failed` images without a value. `tied` holds a letter shared by explainers that are the same on
    every image. `passes_per_image` counts the forward and backward passes, whole or through the tail, that the
    explainer alone would take; `seconds_per_image` likewise.

    Args:
        run: a run directory, or rows as `load_rows` returns them, or a part of those.
        about: content of `run.json`; read from the directory, and where it says nothing the registries are asked.
        costs: as `load_costs` returns them; read from the directory.

    Returns:
        The columns `SUMMARY_COLUMNS`, cells in the order of the rows.

    Raises:
        UsageError: not a run, nothing in it is finished, or nobody knows a metric's direction.
        CamdbenchError: a file of the run is damaged.
    """
    if not isinstance(run, pd.DataFrame):
        about = load_run(run) if about is None else about
        costs = load_costs(run) if costs is None else costs
        run = load_rows(run)
    cells = cells_of(run)
    return _summary(cells, about or {}, costs)


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
    for name, text in (("csv", to_csv(summary)), ("md", to_markdown(summary)), ("tex", to_latex(summary))):
        with replacing(Path(run) / f"summary.{name}") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return summary


def _summary(cells: Cells, about: Mapping[str, Any], costs: pd.DataFrame | None) -> pd.DataFrame:
    count = np.count_nonzero(~np.isnan(cells.values), axis=1)
    total = np.nansum(cells.values, axis=1)
    ends = mean_intervals(cells.values)
    units = {name: _metric_fact(name, "unit", about) for name in cells.keys["metric"].unique()}
    directions = {name: bool(_metric_fact(name, "higher_is_better", about)) for name in units}
    controls = {name: _is_control(name, about) for name in cells.keys["explainer"].unique()}
    table = cells.keys.assign(
        mean=np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0),
        ci_low=ends[:, 0],
        ci_high=ends[:, 1],
        n=count,
        n_failed=cells.n_failed,
        n_constant=cells.n_constant,
        higher_is_better=cells.keys["metric"].map(directions).astype(bool),
        unit=cells.keys["metric"].map(units),
        control=cells.keys["explainer"].map(controls).astype(bool),
        tied=tie_labels(cells, units),
    )
    table = table.merge(_cost_per_image(costs), on=["model", "explainer"], how="left")
    return table[list(SUMMARY_COLUMNS)]


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


def _metric_fact(spec: str, fact: str, about: Mapping[str, Any]) -> Any:
    """What held when the run was made; the registry answers for rows that come without their run."""
    recorded = about.get("metrics", {}).get(spec, {})
    return recorded[fact] if fact in recorded else getattr(metrics.get(parse_spec(spec).name).facts, fact)


def _is_control(spec: str, about: Mapping[str, Any]) -> bool:
    recorded = about.get("explainers", {}).get(spec, {})
    if "control" in recorded:
        return bool(recorded["control"])
    parsed = parse_spec(spec)
    return all(part.name in explainers for part in parsed.walk()) and is_control(parsed)
