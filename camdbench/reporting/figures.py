"""Figures of a run as files: means with intervals, values of images, curves, swept options, images, mean ranks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.reporting.aggatt_figure import aggatt_of
from camdbench.reporting.chart_facts import drawn
from camdbench.reporting.curve_bands import curve_bands
from camdbench.reporting.figure_files import save_figure
from camdbench.reporting.image_strips import save_strips, strip_metric
from camdbench.reporting.mosaic_maps import mosaic_metric
from camdbench.reporting.palette import look
from camdbench.reporting.subplot_grid import SMALL, Width, folded, panels
from camdbench.reporting.sweep_charts import file_stem, sweep_chart
from camdbench.reporting.swept_options import swept
from camdbench.reporting.value_charts import bars, boxes, curves, title
from camdbench.tables.comparison import compare
from camdbench.tables.mean_ranks import rank
from camdbench.tables.pool import Pooled, load_pooled
from camdbench.tables.summary import summarise
from camdbench.tables.summary_tables import SummaryGroup, summary_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = "curve"  # name of the curves that are plotted over x


def save_figures(
    run: str | Path,
    out: str | Path,
    *,
    form: str = "png",
    width: Width = "screen",
    ranks: bool = False,
    pictures: bool = True,
    strips: str | None = None,
    stretch: bool = False,
    data_root: str | Path | None = None,
    log: Callable[[str], object] = str,
) -> list[Path]:
    """Plot a run: bars of means, box plots of image values, curves, swept options, images and, on request, mean ranks.

    Metrics are plotted against every option of which explainers were run with several values: `opticam(iterations=10)`,
    `opticam(iterations=50)`. Images are the worst and the best of every explainer under one metric, with the maps of all.
    Ranks are plotted as a critical-difference diagram (Demsar 2006); a bar joins explainers without a significant difference by
    the Holm-corrected permutation test. Of a run on mosaics with raw maps, aggregated attributions are drawn (AggAtt, Rao et al. 2022).

    Args:
        run: a run directory.
        out: output folder; created if missing.
        form: `png`, `pdf` or `svg`; the text of the latter two is text.
        width: `screen`, or that of one (`single`) or two (`double`) columns of a paper, 3.4 and 7 inches.
        ranks: also plot the ranks, which needs the extra `stats`.
        pictures: whether images are drawn.
        strips: canonical spec of the metric whose worst and best images are drawn; default: the first one with a direction.
        stretch: whether maps are divided by their 99th percentile, for display only; maps of gradients are invisible otherwise.
        data_root: directory of the data set, if it has moved.
        log: callback for one line about images that cannot be drawn.

    Returns:
        The written files.

    Raises:
        UsageError: not a run, no finished part, a metric that `strips` cannot take, or `ranks` without scikit-posthocs, before a file
            is written.
    """
    pooled = load_pooled([run])
    metric = strip_metric(pooled, strips) if pictures else None
    groups = list(summary_groups(summarise(pooled)))
    diagrams = list(rank_diagrams(pooled, groups, width)) if ranks else []
    written = list[Path]()
    for number, group in enumerate(groups):
        stem = f"{number + 1}-{_plain(group.model or 'models')}"
        for name, figure in _of_group(pooled, group, width):
            written.append(save_figure(figure, Path(out, f"{stem}-{name}.{form}"), 150))
        if group.heads != "model" and mosaic_metric(pooled):
            figure, missing = aggatt_of(pooled, group.model, [row.names for row in drawn(group)], data_root, width)
            if figure is None:
                log(f"{stem}-aggatt.{form}: not drawn. {missing}")
            else:
                written.append(save_figure(figure, Path(out, f"{stem}-aggatt.{form}"), 150))
        if metric is not None and group.heads != "model":
            file = Path(out, f"{stem}-strips-{_plain(metric)}.{form}")
            if missing := save_strips(pooled, group, metric, file, stretch=stretch, data_root=data_root):
                log(missing)
            else:
                written.append(file)
    for name, figure in diagrams:
        written.append(save_figure(figure, Path(out, f"ranks-{_plain(name)}.{form}"), 150))
    return written


def _of_group(pooled: Pooled, group: SummaryGroup, width: Width) -> Iterator[tuple[str, Figure]]:
    """Yield the charts of a group with their names."""
    yield "bars", bars(group, width)
    if group.heads == "model":
        return
    for option in swept(list(group.tied)):
        yield _plain(file_stem(option)), sweep_chart(group, option, width)
    own = pooled.cells.select((pooled.cells.keys["model"] == group.model).to_numpy())
    yield "images", boxes(group, own, width)
    names = {row.names[0] for row in drawn(group)}
    bands = {key[1:]: band for key, band in curve_bands(pooled._replace(cells=own), CURVE, names).items()}
    if bands:
        yield "curves", curves(group, bands, pooled.about, width)


def rank_diagrams(pooled: Pooled, groups: Sequence[SummaryGroup], width: Width = "screen") -> Iterator[tuple[str, Figure]]:
    """Yield a critical-difference diagram for each model and metric with at least three explainers; tied ones count once.

    Raises:
        UsageError: scikit-posthocs is not installed.
    """
    try:
        from scikit_posthocs import critical_difference_diagram
    except ImportError:
        raise UsageError("--ranks: scikit-posthocs is not installed; run: pip install 'camdbench[stats]'") from None
    try:
        ranks = rank(pooled)
    except UsageError:  # one explainer, or no common image
        return
    pairs = compare(pooled)
    pairs["p"] = pairs["p_holm"].fillna(pairs["p_permutation"])  # controls and tied explainers are not in Holm's family
    rows = {group.model: drawn(group) for group in groups}
    for (model, metric), lines in ranks.groupby(["model", "metric"], sort=False):
        once = {row.names[0]: row for row in rows[str(model)]}
        lines = lines[lines["explainer"].isin(list(once))]
        if len(lines) < 3:
            continue
        own = pairs[(pairs["model"] == model) & (pairs["metric"] == metric)]
        both = pd.concat([own, own.rename(columns={"a": "b", "b": "a"})])
        names = lines["explainer"].tolist()
        alike = both.pivot_table(index="a", columns="b", values="p").reindex(index=names, columns=names).fillna(1.0)
        labels = [folded(once[name].label, 44) for name in names]
        figure, (place,) = panels(1, 0.6 + 0.16 * len(names), width, across=1)
        critical_difference_diagram(
            pd.Series(lines["rank"].to_numpy(), index=labels),
            alike.set_axis(labels, axis=0).set_axis(labels, axis=1),
            ax=place,
            label_props={"fontsize": SMALL, "parse_math": False},
            crossbar_props={"linewidth": 1.5},
            color_palette={
                label: look(n, control=once[name].control).colour for n, (label, name) in enumerate(zip(labels, names, strict=True))
            },
        )
        title(figure, f"mean rank over {lines['n'].iloc[0]} images, 1 is best · {metric} · {model}")
        yield f"{model}-{metric}", figure


def _plain(name: str) -> str:
    """Return a name that is valid on any file system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")[:80]
