"""Figures of a run: means with intervals, values of images, curves, mean ranks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.written_files import write_whole
from camdbench.reporting.curve_bands import CurveBand, curve_bands
from camdbench.reporting.selectivity import powers, selectivity
from camdbench.reporting.subplot_grid import panels
from camdbench.tables.cell_values import Cells
from camdbench.tables.comparison import compare
from camdbench.tables.mean_ranks import rank
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import MetricColumn, SummaryGroup, summary_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = "curve"  # name of the curves that are plotted over x


def save_figures(run: str | Path, out: str | Path, *, form: str = "png", ranks: bool = False) -> list[Path]:
    """Plot a run: bars of means, box plots of image values, curves, selectivity and, on request, mean ranks.

    Selectivity is plotted if an explainer was run with several powers: `gradcam`, `power(gradcam, alpha=2.0)`.
    Ranks are plotted as a critical-difference diagram (Demsar 2006); a bar joins explainers without a significant difference by
    the Holm-corrected permutation test.

    Args:
        run: a run directory.
        out: output folder; created if missing.
        form: `png`, `pdf` or `svg`.
        ranks: also plot the ranks, which needs the extra `stats`.

    Returns:
        The written files.

    Raises:
        UsageError: not a run, no finished part, or `ranks` without scikit-posthocs, before a file is written.
    """
    pooled = load_pooled([run])
    diagrams = list(rank_diagrams(pooled)) if ranks else []
    summary, bands = summarise(pooled), curve_bands(run, CURVE)
    written = list[Path]()
    for number, group in enumerate(summary_groups(summary)):
        stem = f"{number + 1}-{_plain(group.model or 'models')}"
        written.append(_save(bars(group), Path(out, f"{stem}-bars.{form}")))
        if group.heads == "model":
            continue
        if families := powers(group):
            written.append(_save(selectivity(group, families), Path(out, f"{stem}-selectivity.{form}")))
        own = pooled.cells.select((pooled.cells.keys["model"] == group.model).to_numpy())
        written.append(_save(boxes(group, own), Path(out, f"{stem}-images.{form}")))
        drawn = {key[1:]: band for key, band in bands.items() if key[0] == group.model}
        if drawn:
            written.append(_save(curves(group, drawn), Path(out, f"{stem}-curves.{form}")))
    for name, figure in diagrams:
        written.append(_save(figure, Path(out, f"ranks-{_plain(name)}.{form}")))
    return written


def bars(group: SummaryGroup) -> Figure:
    """Bar plots of means with 95 % intervals, one per metric."""
    figure, axes = panels(len(group.columns), 0.5 + 0.28 * len(group.tied))
    for place, column in zip(axes, group.columns, strict=False):
        names = list(group.tied)
        cells = [group.cells.get((name, column)) for name in names]
        means = np.array([np.nan if cell is None else cell["mean"] for cell in cells])
        ends = np.array([(np.nan, np.nan) if cell is None else (cell["ci_low"], cell["ci_high"]) for cell in cells])
        spread = np.nan_to_num(np.abs(ends - means[:, None]).T)
        colours = ["0.75" if name in group.explainers(control=True) else "C0" for name in names]
        place.barh(range(len(names)), means, xerr=spread, color=colours, error_kw={"lw": 1, "capsize": 2})
        _rows(place, names, column)
    figure.suptitle(group.title, fontsize=10)
    return figure


def boxes(group: SummaryGroup, cells: Cells) -> Figure:
    """Box plots of image values: median, quartiles, whiskers of 1.5 times the interquartile range, outliers."""
    figure, axes = panels(len(group.columns), 0.5 + 0.28 * len(group.tied))
    for place, column in zip(axes, group.columns, strict=False):
        names, own = list(group.tied), cells.select((cells.keys["metric"] == column.metric).to_numpy())
        place.boxplot(
            [_present(np.compress(own.keys["explainer"] == name, own.values, axis=0)) for name in names],
            positions=range(len(names)),
            orientation="horizontal",
            widths=0.6,
            flierprops={"marker": ".", "markersize": 3, "alpha": 0.5},
        )
        _rows(place, names, column)
    figure.suptitle(f"{group.title} · values of the images", fontsize=10)
    return figure


def curves(group: SummaryGroup, bands: Mapping[tuple[str, str], CurveBand]) -> Figure:
    """Mean curves over images, with 95 % confidence bands; `bands` by explainer and metric."""
    drawn = {metric for _, metric in bands}
    metrics = [column for column in group.columns if column.metric in drawn]
    figure, axes = panels(len(metrics), 2.6)
    for place, column in zip(axes, metrics, strict=False):
        for name in group.tied:
            if (band := bands.get((name, column.metric))) is None:
                continue
            (line,) = place.plot(band.x, band.mean, label=name, lw=1.2, ls=":" if name in group.explainers(control=True) else "-")
            reach = 1.96 * band.error
            place.fill_between(band.x, band.mean - reach, band.mean + reach, color=line.get_color(), alpha=0.15, lw=0)
        place.set_title(column.heading, fontsize=9)
        place.tick_params(labelsize=8)
        place.set_xlabel("fraction of pixels or patches", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    figure.suptitle(group.title, fontsize=10)
    return figure


def rank_diagrams(run: str | Path | Pooled) -> Iterator[tuple[str, Figure]]:
    """Yield a critical-difference diagram for each model and metric with at least three explainers.

    Raises:
        UsageError: scikit-posthocs is not installed.
    """
    from matplotlib.figure import Figure

    try:
        from scikit_posthocs import critical_difference_diagram
    except ImportError:
        raise UsageError("--ranks: scikit-posthocs is not installed; run: pip install 'camdbench[stats]'") from None
    try:
        ranks = rank(run)
    except UsageError:  # one explainer, or no common image
        return
    pairs = compare(run)
    pairs["p"] = pairs["p_holm"].fillna(pairs["p_permutation"])  # controls and tied explainers are not in Holm's family
    for (model, metric), lines in ranks.groupby(["model", "metric"], sort=False):
        if len(lines) < 3:
            continue
        names = lines["explainer"].tolist()
        own = pairs[(pairs["model"] == model) & (pairs["metric"] == metric)]
        both = pd.concat([own, own.rename(columns={"a": "b", "b": "a"})])
        alike = both.pivot_table(index="a", columns="b", values="p").reindex(index=names, columns=names).fillna(1.0)
        figure = Figure(figsize=(9, 0.8 + 0.22 * len(names)), layout="constrained")
        place = figure.add_subplot()
        critical_difference_diagram(lines.set_index("explainer")["rank"], alike, ax=place, label_props={"fontsize": 8})
        place.set_title(f"mean rank over {lines['n'].iloc[0]} images · {metric} · {model}", fontsize=10)
        yield f"{model}-{metric}", figure


def _present(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _rows(place: Any, names: list[str], column: MetricColumn) -> None:
    place.set_yticks(range(len(names)), names, fontsize=8)
    place.set_ylim(len(names) - 0.5, -0.5)
    place.set_title(column.heading, fontsize=9)
    place.tick_params(axis="x", labelsize=8)


def _save(figure: Figure, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=150)
    write_whole(path, content.getbuffer())
    return path


def _plain(name: str) -> str:
    """Return a name that is valid on any file system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")[:80]
