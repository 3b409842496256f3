"""Selectivity: metrics of maps raised to a power (Opti-CAM, arXiv:2301.07002, Figure A4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from camdbench.core.spec import parse_spec
from camdbench.reporting.subplot_grid import panels
from camdbench.tables.summary_tables import SummaryGroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PowerCurve(NamedTuple):
    """An explainer whose map is that of another explainer raised to a power.

    Attributes:
        inner: spec of the other explainer.
        alpha: the power.
        name: spec of this explainer.
    """

    inner: str
    alpha: float
    name: str


def powers(group: SummaryGroup) -> list[list[PowerCurve]]:
    """Return the explainers of a group with at least two powers, each with its powers in ascending order.

    `power(gradcam, alpha=2.0)` has power 2; `power(gradcam)`, and `gradcam` have power 1.
    """
    families = dict[str, dict[float, PowerCurve]]()
    for name in group.tied:
        spec = parse_spec(name)
        if spec.name == "power":
            alpha = float(str(spec.arguments.get("alpha", 1.0)))
            families.setdefault(str(spec.wrapped[0]), {})[alpha] = PowerCurve(str(spec.wrapped[0]), alpha, name)
    for inner, family in families.items():
        if inner in group.tied:
            family.setdefault(1.0, PowerCurve(inner, 1.0, inner))
    return [[family[alpha] for alpha in sorted(family)] for family in families.values() if len(family) > 1]


def selectivity(group: SummaryGroup, families: list[list[PowerCurve]]) -> Figure:
    """Plot each metric against the power, one line per explainer, with 95 % intervals (Opti-CAM, arXiv:2301.07002, Figure A4)."""
    figure, axes = panels(len(group.columns), 2.6)
    for place, column in zip(axes, group.columns, strict=False):
        for family in families:
            there = [(one.alpha, group.cells[one.name, column]) for one in family if (one.name, column) in group.cells]
            alphas, cells = [alpha for alpha, _ in there], [cell for _, cell in there]
            (line,) = place.plot(alphas, [cell["mean"] for cell in cells], ".-", label=family[0].inner, lw=1.2)
            ends = np.array([(cell["ci_low"], cell["ci_high"]) for cell in cells]).reshape(-1, 2).T
            place.fill_between(alphas, *ends, color=line.get_color(), alpha=0.15, lw=0)
        place.set_xscale("log")
        place.set_title(column.heading, fontsize=9)
        place.set_xlabel("power α of the map: more ← 1 → less", fontsize=8)
        place.tick_params(labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    figure.suptitle(f"{group.title} · selectivity", fontsize=10)
    return figure
