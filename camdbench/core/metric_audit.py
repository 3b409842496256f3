"""The published audit of the metrics: one line on each, from `results/metric_audit.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

_FAMILY, _SET = "data", "real"  # networks that differ in their training data alone; explainers without controls
_LEVELS = ("tracking", "error")


def audit_file() -> Path:
    """The table: in `camdbench/results` of an installed wheel, in `results` of a checkout; it may not exist."""
    package = Path(__file__).parents[1]
    inside = package / "results"
    return (inside if inside.is_dir() else package.parent / "results") / "metric_audit.csv"


def audit_lines(metric: str, file: Path | None = None) -> list[str]:
    """Lines on a metric, one per audited spec: tau with each truth and its interval, worst network, conclusion.

    Args:
        metric: name of the metric.
        file: the table; default: `audit_file()`.

    Returns:
        The lines; none if the metric is not in the table, or if there is no table.
    """
    table = audit_file() if file is None else file
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"].partition("(")[0] == metric]
    own = [row for row in rows if (row["family"], row["set"], row["model"]) == (_FAMILY, _SET, "*")]
    specs = dict.fromkeys(row["metric"] for row in own)
    return [f"{spec}: {'; '.join(_levels([row for row in own if row['metric'] == spec]))}" for spec in specs]


def _levels(rows: list[dict[str, str]]) -> Iterator[str]:
    for level in _LEVELS:
        for row in rows:
            if row["truth"] == level and row["tau"]:
                yield f"tau {_interval(row)} with {level} truth{_worst(row)}, {row['conclusion']}"


def _interval(row: Mapping[str, str]) -> str:
    ends = [f"{float(row[name]):.2f}" for name in ("tau_low", "tau_high") if row[name]]
    return f"{float(row['tau']):.2f}" + (f" [{', '.join(ends)}]" if len(ends) == 2 else "")


def _worst(row: Mapping[str, str]) -> str:
    return f" (worst network {float(row['tau_worst']):.2f})" if row["tau_worst"] else ""
