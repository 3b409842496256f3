"""Figure of an audit: whether maps move with the networks, and whether metrics follow the measured truth."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from camdbench.reporting.palette import CONTROL, FAINT, SERIES, look
from camdbench.reporting.subplot_grid import NORMAL, SMALL, WIDTHS, legend_below, name_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW = 0.17  # inches of a metric, and of a line of the legend
_ACROSS = 4  # names in a line of the legend
_LEAST = 3.4  # inches of the subplots
_LEVELS = ("tracking", "error", "cells")  # the first that has values is drawn


def audit_figure(explainers: pd.DataFrame, metrics: pd.DataFrame) -> Figure:
    """Draw the figure of an audit.

    Left: mean share s of the maps' positive mass on the object against the mean truth r+, over networks, one line per explainer; equal
    explainers are drawn once, controls are grey and hollow. Right: tau of each metric with the truth and its 95 % interval; the band
    ends at the ceiling, and metrics that a control fools are hollow.

    Args:
        explainers: the table of explainers (`AuditTables.explainers`).
        metrics: the table of metrics (`AuditTables.metrics`).
    """
    from matplotlib.figure import Figure

    shown = _shown_metrics(metrics)
    below = _ROW * (explainers["explainer"].nunique() // _ACROSS + 1) if len(explainers) else 0.0
    figure = Figure(figsize=(WIDTHS["screen"][1], below + max(_LEAST, 0.9 + _ROW * len(shown))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    for place in (left, right):
        place.tick_params(labelsize=SMALL)
    handles, names = _draw_shares(left, explainers)
    _draw_taus(right, shown)
    legend_below(figure, handles, names)
    return figure


def _draw_shares(place: Any, explainers: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """Lines of explainers over networks and the diagonal; returns handles and names of the legend."""
    own = explainers[(explainers["model"] != "*") & explainers["same_as"].fillna("").eq("") & (explainers["set"] != "oracle")]
    place.plot([0, 1], [0, 1], color=FAINT, lw=1.5, zorder=0)
    place.text(0.04, 0.08, "s = r+", fontsize=SMALL, color=CONTROL)
    handles, names, counts = list[Any](), list[str](), {"real": 0, "control": 0}
    for name, lines in own.groupby("explainer", sort=False):
        kind = str(lines["set"].iloc[0])
        points = lines.dropna(subset=["share_true", "share_map"]).sort_values("share_true")
        if not len(points):
            continue
        style = look(counts[kind], control=kind == "control")
        counts[kind] += 1
        handles += place.plot(points["share_true"], points["share_map"], lw=1, ms=3.5, **style.line)
        names.append(str(name))
    place.set_xlim(-0.02, 1.02)
    place.set_ylim(-0.02, 1.02)
    place.set_xlabel("measured share of the object r+, mean of images", fontsize=NORMAL)
    place.set_ylabel("share of the map on the object s", fontsize=NORMAL)
    place.set_title("does the map move when the network does?", fontsize=NORMAL)
    return handles, names


def _shown_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """One line per metric and truth, of all networks and real explainers, the best metric first."""
    if not len(metrics):
        return metrics
    whole = "*" if (metrics["model"] == "*").any() else metrics["model"].iloc[0]
    own = metrics[(metrics["model"] == whole) & (metrics["set"] == "real") & metrics["tau"].notna()]
    truth = next((name for name in _LEVELS if name in set(own["truth"])), "")
    return own[own["truth"] == truth].fillna({"fooled_by": ""}).sort_values("tau", ascending=False, kind="stable")


def _draw_taus(place: Any, shown: pd.DataFrame) -> None:
    """Dots with intervals, one row per metric, and the ceiling of the truth as a band."""
    truth = str(shown["truth"].iloc[0]) if len(shown) else ""
    ceiling = float(shown["ceiling"].max()) if len(shown) else float("nan")
    if not isnan(ceiling):
        place.axvspan(-ceiling, ceiling, color=FAINT, alpha=0.45, lw=0, zorder=0)
        place.text(ceiling, 0, " ceiling ", transform=place.get_xaxis_transform(), ha="right", va="bottom", fontsize=SMALL, color=CONTROL)
    place.axvline(0, color=CONTROL, lw=0.8, zorder=1)
    for row, line in enumerate(shown.itertuples()):
        place.plot([line.tau_low, line.tau_high], [row, row], color=SERIES[0], lw=1, solid_capstyle="butt")
        place.plot([line.tau], [row], "o", ms=4.5, color=SERIES[0], mfc="white" if line.fooled_by else SERIES[0])
    name_rows(place, [str(name) for name in shown["metric"]] if len(shown) else [], [False] * len(shown))
    place.set_xlim(-1.03, 1.03)
    place.set_xlabel(f"Kendall's tau with {truth or 'the'} truth, 95 % interval; hollow: a control beats every explainer", fontsize=SMALL)
    place.set_title("does the metric follow the measured truth?", fontsize=NORMAL)
