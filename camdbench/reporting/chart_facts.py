"""What charts show: explainers, tied ones once, and the range and unit of every axis."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.core.spec import parse_spec
from camdbench.tables.summary_tables import MetricColumn, SummaryGroup

_RANGE = re.compile(r"[\[({](\S+), (\S+)[\])}]")
_ANY = -math.inf, math.inf


@dataclass(frozen=True)
class Drawn:
    """An explainer that is drawn, or several with equal values on every image.

    Attributes:
        names: specs.
        control: whether all are controls.
    """

    names: tuple[str, ...]
    control: bool

    @property
    def label(self) -> str:
        """Name in charts.

        >>> Drawn(("gradcam", "hirescam"), control=False).label
        'gradcam = hirescam'
        """
        return " = ".join(self.names)

    def cell(self, group: SummaryGroup, column: MetricColumn) -> dict[Any, Any] | None:
        """Return the row of the summary; None if the job is not finished."""
        return next((group.cells[name, column] for name in self.names if (name, column) in group.cells), None)


def drawn(group: SummaryGroup) -> list[Drawn]:
    """Return the rows of charts in the order of the summary, controls last; tied explainers share one."""
    controls, found = set(group.explainers(control=True)), dict[str, list[str]]()
    for name, letter in group.tied.items():
        found.setdefault(f"tied {letter}" if letter else f"name {name}", []).append(name)
    rows = [Drawn(tuple(names), control=controls.issuperset(names)) for names in found.values()]
    return sorted(rows, key=lambda row: row.control)


def mean_label(column: MetricColumn) -> str:
    """Label of an axis with means of a metric.

    >>> mean_label(MetricColumn("ad", "opticam", "%", higher_is_better=False)), mean_label(MetricColumn("complexity", "", "", None))
    ('mean (%)', 'mean')
    """
    return f"mean ({column.unit})" if column.unit else "mean"


def range_of(metric: str) -> tuple[float, float]:
    """Return the smallest and the largest possible value of a metric; infinite if they are not stated."""
    with suppress(UsageError):
        name = parse_spec(metric).name
        if name in metrics and (stated := _RANGE.fullmatch(metrics.get(name).facts.values)):
            with suppress(ValueError):
                return float(stated[1]), float(stated[2])
    return _ANY


def curve_axis(metric: str, unit: str, about: Mapping[str, Any]) -> tuple[str, tuple[float, float]]:
    """Return what a perturbation curve shows, for its axis, and its possible range.

    Args:
        metric: canonical spec.
        unit: of the metric; values in per cent are areas under a curve in [0, 1].
        about: record of the run.
    """
    read = about.get("metrics", {}).get(metric, {}).get("switches", {}).get("scored_output")
    words = {"probability": "class probability", "accuracy": "accuracy", "logit": "logit"}
    if read not in ("probability", "accuracy"):
        return words.get(read, "score"), _ANY
    low, high = (end / (100 if unit == "%" else 1) for end in range_of(metric))
    return f"{'drop of ' * (low < 0)}{words[read]}", (low, high)
