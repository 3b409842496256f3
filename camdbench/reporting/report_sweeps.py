"""Metrics against an option that a run varied, for the charts of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from camdbench.reporting.page_numbers import short_number
from camdbench.reporting.swept_options import SweptOption, swept
from camdbench.tables.summary_tables import MetricColumn, SummaryGroup, summary_groups

_ENDS = {"mean": "mean", "low": "ci_low", "high": "ci_high"}


def sweep_charts(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Means with 95 % intervals against each option of which a run has several values.

    Args:
        summary: the summary of the run.

    Returns:
        One chart per model, option and metric: `model`, `metric`, `unit`, `direction`, `option` and the explainer's `of`, whether values
        are `numeric` and span more than two decades (`wide`), and `lines`: `label` and `points` with `value`, `explainer`, `mean`,
        `low` and `high`. Empty if no option was varied.
    """
    found = list[dict[str, Any]]()
    for group in summary_groups(summary):
        if group.heads == "model":
            continue
        for option in swept(list(group.tied)):
            charts = (_chart(group, option, column) for column in group.columns)
            found += [chart for chart in charts if chart["lines"]]
    return found


def _chart(group: SummaryGroup, option: SweptOption, column: MetricColumn) -> dict[str, Any]:
    rises = column.higher_is_better
    lines = list[dict[str, Any]]()
    for line in option.lines:
        there = [(value, name, group.cells[name, column]) for value, name in line.specs.items() if (name, column) in group.cells]
        points = [_point(value, name, cell, numeric=option.is_numeric) for value, name, cell in there]
        points = [point for point in points if point["mean"] is not None]
        if len(points) > 1:
            lines.append({"label": line.label, "points": points})
    facts = {"model": group.model, "metric": column.metric, "unit": column.unit, "direction": 0 if rises is None else 1 if rises else -1}
    return facts | {"option": option.option, "of": option.name, "numeric": option.is_numeric, "wide": option.is_wide, "lines": lines}


def _point(value: Any, name: str, cell: Mapping[Any, Any], *, numeric: bool) -> dict[str, Any]:
    own = {"value": float(value) if numeric else str(value), "explainer": name}
    return own | {end: short_number(float(cell[column])) for end, column in _ENDS.items()}
