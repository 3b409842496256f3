"""Charts of the values of a run: means, values of images, mean curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from camdbench.reporting.chart_facts import Drawn, curve_axis, drawn, mean_label, range_of
from camdbench.reporting.curve_bands import CurveBand
from camdbench.reporting.palette import CONTROL, FAINT, SERIES, look
from camdbench.reporting.subplot_grid import (
    NORMAL,
    SMALL,
    WIDTHS,
    Width,
    folded,
    height_of_rows,
    legend_below,
    limit,
    name_missing,
    name_rows,
    panels,
)
from camdbench.tables.cell_values import Cells
from camdbench.tables.summary_tables import MetricColumn, SummaryGroup, span

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OPACITY = 0.5  # of bands that lie on each other
_TOGETHER = len(SERIES)  # curves in one subplot, each of another colour

Bands = Mapping[tuple[str, str], CurveBand]  # by explainer and metric


def bars(group: SummaryGroup, width: Width = "screen") -> Figure:
    """Bar plots of means with 95 % intervals, one per metric; the bars of controls are hollow."""
    rows = drawn(group)
    figure, axes = _row_panels(rows, len(group.columns), width)
    for place, column in zip(axes, group.columns, strict=False):
        cells = [row.cell(group, column) for row in rows]
        means = np.array([np.nan if cell is None else cell["mean"] for cell in cells])
        ends = np.array([(np.nan, np.nan) if cell is None else (cell["ci_low"], cell["ci_high"]) for cell in cells])
        spread = np.nan_to_num(np.abs(ends - means[:, None]).T)
        place.barh(
            range(len(rows)),
            means,
            height=0.7,
            color=["white" if row.control else SERIES[0] for row in rows],
            edgecolor=[CONTROL if row.control else SERIES[0] for row in rows],
            xerr=spread,
            error_kw={"lw": 1, "capsize": 2, "ecolor": "black"},
        )
        for number in np.flatnonzero(np.isnan(means)):
            name_missing(place, int(number))
        _finish_rows(place, rows, column, mean_label(column))
    title(figure, f"{group.title} · means of {images_of(group)} with 95 % bootstrap intervals")
    return figure


def boxes(group: SummaryGroup, cells: Cells, width: Width = "screen") -> Figure:
    """Box plots of image values: median, quartiles, whiskers of 1.5 times the interquartile range, outliers."""
    rows = drawn(group)
    figure, axes = _row_panels(rows, len(group.columns), width)
    for place, column in zip(axes, group.columns, strict=False):
        own = cells.select((cells.keys["metric"] == column.metric).to_numpy())
        values = [_values(row, own) for row in rows]
        for control, colour in ((False, SERIES[0]), (True, CONTROL)):
            positions = [number for number, row in enumerate(rows) if row.control == control]
            if not positions:
                continue
            edge = {"color": colour, "lw": 1}
            place.boxplot(
                [values[number] for number in positions],
                positions=positions,
                orientation="horizontal",
                widths=0.6,
                manage_ticks=False,
                boxprops=edge,
                whiskerprops=edge,
                capprops=edge,
                medianprops={"color": "black", "lw": 1.5},
                flierprops={"marker": ".", "markersize": 3, "alpha": 0.5, "mec": colour},
            )
        for number, line in enumerate(values):
            if not len(line):
                name_missing(place, number)
        _finish_rows(place, rows, column, f"value of an image ({column.unit})" if column.unit else "value of an image")
    title(figure, f"{group.title} · values of {images_of(group)}")
    return figure


def curves(group: SummaryGroup, bands: Bands, about: Mapping[str, Any], width: Width = "screen") -> Figure:
    """Mean curves over images with 95 % bootstrap bands; `bands` by explainer and metric.

    Up to seven explainers share a subplot. More are drawn in several, each on the others in faint grey.
    """
    held = {metric for _, metric in bands}
    metrics = [column for column in group.columns if column.metric in held]
    rows = [row for row in drawn(group) if any((name, column.metric) in bands for name in row.names for column in metrics)]
    if len(rows) <= _TOGETHER:
        figure, axes = panels(len(metrics), 2.6, width)
        for place, column in zip(axes, metrics, strict=False):
            _draw_curves(place, rows, rows, bands, column, about)
        legend_below(figure, *axes[0].get_legend_handles_labels())
    else:
        groups = [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
        across = min(len(groups), WIDTHS[width][0])
        groups += [[]] * (-len(groups) % across)
        figure, axes = panels(len(metrics) * len(groups), 2.6, width, across=across, share=True)
        for number, place in enumerate(axes):
            column, own = metrics[number // len(groups)], groups[number % len(groups)]
            if not own:
                place.set_axis_off()
                continue
            _draw_curves(place, own, rows, bands, column, about)
            if across < len(groups) or number >= len(axes) - across:  # one legend for the subplots above it, if their rows agree
                place.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=SMALL, frameon=False)
        figure.set_figheight(figure.get_figheight() + 0.15 * _TOGETHER * (len(axes) // across if across < len(groups) else 1))
    title(figure, f"{group.title} · mean curves of {images_of(group)} with 95 % bootstrap bands")
    return figure


def images_of(group: SummaryGroup) -> str:
    """Number of images with a value, or its smallest and largest number; explainers without any are named in the chart."""
    counts = group.lines.loc[group.lines["n"] > 0, "n"]
    return f"{span(counts) if len(counts) else 0} image{'' if counts.max() == 1 else 's'}"


def title(figure: Figure, text: str) -> None:
    """Write the title of a figure, folded to its width."""
    figure.suptitle(folded(text, int(14 * figure.get_figwidth())), fontsize=NORMAL + 1, parse_math=False)


def _draw_curves(
    place: Any, own: Sequence[Drawn], rows: Sequence[Drawn], bands: Bands, column: MetricColumn, about: Mapping[str, Any]
) -> None:
    """Draw the curves of some rows, and the others faintly."""
    label, ends = curve_axis(column.metric, column.unit, about)
    looks = {row: look([other for other in rows if other.control == row.control].index(row), control=row.control) for row in rows}
    furthest = 1.0
    for row in rows:
        found = (bands[name, column.metric] for name in row.names if (name, column.metric) in bands)
        if (band := next(found, None)) is None:
            continue
        band, furthest = band.within(ends), max(furthest, float(band.x.max(initial=0)))
        if row not in own:
            place.plot(band.x, band.mean, color=FAINT, lw=0.8, zorder=1)
            continue
        every = max(1, len(band.x) // 6)  # markers of lines that agree stand beside each other
        first = rows.index(row) * every // _TOGETHER % every
        place.plot(band.x, band.mean, **looks[row].line, label=folded(row.label), lw=1.2, ms=3.5, mew=0.8, markevery=(first, every))
        place.fill_between(band.x, band.low, band.high, color=looks[row].colour, alpha=_OPACITY / len(own), lw=0)
    place.set_title(column.heading, fontsize=NORMAL, parse_math=False)
    place.set_xlabel("fraction of pixels or patches" if furthest <= 1 else "step", fontsize=SMALL)
    place.set_ylabel(label, fontsize=SMALL)
    limit(place, "y", ends)


def _row_panels(rows: Sequence[Drawn], count: int, width: Width) -> tuple[Figure, list[Any]]:
    return panels(count, height_of_rows([row.label for row in rows]), width, share=True)


def _finish_rows(place: Any, rows: Sequence[Drawn], column: MetricColumn, label: str) -> None:
    name_rows(place, [row.label for row in rows], [row.control for row in rows])
    place.set_title(column.heading, fontsize=NORMAL, parse_math=False)
    place.set_xlabel(label, fontsize=SMALL)
    place.grid(axis="x", lw=0.4, color=FAINT)
    place.set_axisbelow(True)
    limit(place, "x", range_of(column.metric))


def _values(row: Drawn, cells: Cells) -> np.ndarray:
    """Values of the images that have one, of a cell of the row."""
    found = np.compress((cells.keys["explainer"].isin(row.names)).to_numpy(), cells.values, axis=0)[:1].ravel()
    return found[~np.isnan(found)]
