"""Two runs side by side: differences of equal cells, images that moved, settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.reporting.report_runs import ReportRun
from camdbench.tables.cell_values import Cells, join_cells
from camdbench.tables.comparison import compare
from camdbench.tables.comparison_tables import diff_table, pair_tables
from camdbench.tables.protocol_diff import diff
from camdbench.tables.summary import metric_fact
from camdbench.tables.table import Table

_SAME = ("dataset", "split", "target_rule", "metric", "protocol", "explainer")  # of cells that are compared, and the model if both have it


@dataclass(frozen=True)
class TwoRuns:
    """What a report says about two runs.

    Attributes:
        names: labels and names of the runs.
        images: a sentence on their common images.
        partial: whether a run has an image that the other one lacks.
        cells: differences of equal cells, first minus second, one table per model and metric; empty if no cell is in both.
        settings: settings that differ; empty if none do.
    """

    names: tuple[str, str]
    images: str
    partial: bool
    cells: list[Table]
    settings: list[Table]


def two_runs(first: ReportRun, second: ReportRun) -> TwoRuns:
    """Compare two runs as `compare(first, second, across=True)` and `diff(first, second)` do."""
    common = len(set(first.cells.images) & set(second.cells.images))
    partial = any(len(run.cells.images) > common for run in (first, second))
    counts = [f"{run.label} has {len(run.cells.images)} images" for run in (first, second)]
    settings = diff_table(diff(*(run.pooled.folders[0] for run in (first, second))), first.label, second.label)
    images = f"{', '.join(counts)}; {common} are in both."
    return TwoRuns((first.title, second.title), images, partial, _differences(first, second), settings)


def _differences(first: ReportRun, second: ReportRun) -> list[Table]:
    if first.apart:
        return []
    try:
        found = compare(first.pooled, second.pooled, across=True)
    except UsageError:  # no equal cells
        return []
    first_run, second_run = (str(run.about["run"]) for run in (first, second))
    ends = [f" · {model} · {first_run}" for model in found["model"]]
    names = pd.Series([label.removesuffix(end) for label, end in zip(found["a"], ends, strict=True)], index=found.index)
    theirs = [label.removeprefix(f"{name} · ").removesuffix(f" · {second_run}") for name, label in zip(names, found["b"], strict=True)]
    models = [mine if mine == other else f"{mine} (A), {other} (B)" for mine, other in zip(found["model"], theirs, strict=True)]
    about = second.about | {"metrics": {**second.about["metrics"], **first.about["metrics"]}}
    rises = found["metric"].map({name: metric_fact(name, "higher_is_better", about) for name in found["metric"].unique()})
    better = np.where(found["better"] == "", "", np.where(found["difference"].gt(0) == rises, first.label, second.label))
    return [_of_explainers(table) for table in pair_tables(found.assign(model=models, a=names, b=names, better=better))]


def _of_explainers(table: Table) -> Table:
    """A table of pairs whose names are equal, with one column for both."""
    places = [place for place, column in enumerate(table.columns) if column.key != "b"]
    columns = tuple(
        replace(own, heading={"a": "explainer", "difference": "A − B"}.get(own.key, own.heading))
        for own in (table.columns[place] for place in places)
    )
    sections = tuple(replace(own, rows=tuple(tuple(row[place] for place in places) for row in own.rows)) for own in table.sections)
    return replace(table, columns=columns, sections=sections)


def moved(first: Cells, second: Cells) -> dict[str, float]:
    """Return how far the values of each image moved between two runs, by image.

    The size of the difference of a cell that both runs have is divided by the standard deviation of all its values in both, and
    averaged over cells. NaN for an image that has no value in both.

    Args:
        first: cells of means over images.
        second: the same of the other run; models may have other names if each run has one.
    """
    both = join_cells([first, second])
    sizes = [np.full(len(both.images), np.nan)]
    for one, two in _equal_cells(first.keys, second.keys):
        pair = np.take(both.values, [one, len(first.keys) + two], axis=0)
        deviation = np.nanstd(pair) if np.isfinite(pair).any() else 0.0
        sizes.append(np.abs(pair[0] - pair[1]) / (deviation or 1.0))
    counts = np.isfinite(sizes).sum(0)
    means = np.divide(np.nansum(sizes, axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return dict(zip(both.images, means.tolist(), strict=True))


def _equal_cells(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[int, int]]:
    """Positions of cells with equal keys; models are matched by name, or if each run has one."""
    single = first["model"].nunique() == 1 == second["model"].nunique()
    names = list(_SAME) if single else [*_SAME, "model"]
    places = {key: place for place, key in enumerate(second[names].itertuples(index=False, name=None))}
    keys: Sequence[tuple[str, ...]] = list(first[names].itertuples(index=False, name=None))
    return [(place, places[key]) for place, key in enumerate(keys) if key in places]
