"""Charts of metrics against an option that a run varied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camdbench.reporting.chart_facts import mean_label, range_of
from camdbench.reporting.palette import CONTROL, Look, look
from camdbench.reporting.subplot_grid import NORMAL, SMALL, Width, height_of_rows, legend_below, limit, name_rows, panels
from camdbench.reporting.swept_options import SweptLine, SweptOption
from camdbench.reporting.value_charts import images_of, title
from camdbench.tables.summary_tables import SummaryGroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Known(NamedTuple):
    """What a paper says of an option: name of the file and of the chart, label of the axis, whether it is logarithmic."""

    file: str
    axis: str
    log: bool


_KNOWN = {
    ("power", "alpha"): _Known("selectivity", "power α of the map: more ← 1 → less", log=True),  # Opti-CAM, arXiv:2301.07002, Figure A4
}


def file_stem(option: SweptOption) -> str:
    """Name of the file of a chart.

    >>> file_stem(SweptOption("power", "alpha", ())), file_stem(SweptOption("opticam", "iterations", ()))
    ('selectivity', 'sweep-opticam-iterations')
    """
    known = _KNOWN.get((option.name, option.option))
    return known.file if known else f"sweep-{option.name}-{option.option}"


def sweep_chart(group: SummaryGroup, option: SweptOption, width: Width = "screen") -> Figure:
    """Plot each metric against an option: one line per explainer with 95 % intervals, or bars if a value is not a number.

    The axis is logarithmic if the values span more than two decades. Explainers tied at every value share a line. The powers of maps are
    plotted as the selectivity of Opti-CAM (arXiv:2301.07002, Figure A4).
    """
    lines = _untied(group, option)
    figure = _numeric(group, option, lines, width) if option.is_numeric else _categorical(group, lines, width)
    known = _KNOWN.get((option.name, option.option))
    what = known.file if known else f"{option.option} of {option.name}"
    title(figure, f"{group.title} · {what}: means of {images_of(group)} with 95 % bootstrap intervals")
    return figure


def _numeric(group: SummaryGroup, option: SweptOption, lines: list[tuple[str, SweptLine]], width: Width) -> Figure:
    figure, axes = panels(len(group.columns), 2.6, width)
    known = _KNOWN.get((option.name, option.option))
    looks = _looks(group, lines)
    for place, column in zip(axes, group.columns, strict=False):
        for (label, line), own in zip(lines, looks, strict=True):
            there = [(value, group.cells[name, column]) for value, name in line.specs.items() if (name, column) in group.cells]
            x = [value for value, _ in there]
            ends = np.array([(cell["ci_low"], cell["ci_high"]) for _, cell in there]).reshape(-1, 2).T
            place.plot(x, [cell["mean"] for _, cell in there], **own.line, label=label, lw=1.2, ms=4, mew=0.8)
            place.fill_between(x, *ends, color=own.colour, alpha=0.15, lw=0)
        if option.is_wide or (known is not None and known.log):
            place.set_xscale("log")
            _value_ticks(place, option.values)
        place.set_title(column.heading, fontsize=NORMAL, parse_math=False)
        place.set_xlabel(known.axis if known else f"{option.option} of {option.name}", fontsize=SMALL)
        place.set_ylabel(mean_label(column), fontsize=SMALL)
        limit(place, "y", range_of(column.metric))
    legend_below(figure, *axes[0].get_legend_handles_labels())
    return figure


def _categorical(group: SummaryGroup, lines: list[tuple[str, SweptLine]], width: Width) -> Figure:
    rows = [(f"{label}: {value}" if len(lines) > 1 else str(value), name) for label, line in lines for value, name in line.specs.items()]
    looks = [own for own, (_, line) in zip(_looks(group, lines), lines, strict=True) for _ in line.specs]
    names = [label for label, _ in rows]
    figure, axes = panels(len(group.columns), height_of_rows(names), width, share=True)
    for place, column in zip(axes, group.columns, strict=False):
        for number, ((_, name), own) in enumerate(zip(rows, looks, strict=True)):
            if (cell := group.cells.get((name, column))) is None:
                continue
            spread = np.nan_to_num(np.abs(np.array([[cell["ci_low"]], [cell["ci_high"]]]) - cell["mean"]))
            place.barh(
                number, cell["mean"], height=0.7, color=own.fill, edgecolor=own.colour, xerr=spread, error_kw={"lw": 1, "capsize": 2}
            )
        name_rows(place, names, [own.colour == CONTROL for own in looks])
        place.set_title(column.heading, fontsize=NORMAL, parse_math=False)
        place.set_xlabel(mean_label(column), fontsize=SMALL)
        limit(place, "x", range_of(column.metric))
    return figure


def _looks(group: SummaryGroup, lines: list[tuple[str, SweptLine]]) -> list[Look]:
    controls, counts, found = set(group.explainers(control=True)), {True: 0, False: 0}, list[Look]()
    for _, line in lines:
        control = controls.issuperset(line.specs.values())
        found.append(look(counts[control], control=control))
        counts[control] += 1
    return found


def _untied(group: SummaryGroup, option: SweptOption) -> list[tuple[str, SweptLine]]:
    """Return lines with their names; lines whose explainers are tied at every value share one."""
    found = dict[object, list[SweptLine]]()
    for line in option.lines:
        letters = tuple((value, group.tied.get(name, "")) for value, name in line.specs.items())
        found.setdefault(letters if all(letter for _, letter in letters) else line.label, []).append(line)
    return [(" = ".join(line.label for line in lines), lines[0]) for lines in found.values()]


def _value_ticks(place: Any, values: list[Any]) -> None:
    """Label a logarithmic axis at the values of the option, if they are few."""
    if len(values) <= 8:
        place.set_xticks(values, [f"{value:g}" for value in values])
        place.set_xticks([], minor=True)
