"""Figure of aggregated attributions (AggAtt): one row per explainer, one mean map per bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.functional.aggregated_maps import BIN_EDGES, AggregatedMaps
from camdbench.reporting.mosaic_maps import aggregated_maps
from camdbench.reporting.palette import CONTROL, OKABE_ITO
from camdbench.reporting.subplot_grid import NORMAL, SMALL, WIDTHS, Width, folded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from camdbench.tables.pool import Pooled

_NAME = 1.2  # width of the names, in maps
_CHARACTERS = 18


def aggatt_figure(rows: Mapping[str, AggregatedMaps], title: str, width: Width = "screen") -> Figure:
    """Draw aggregated attributions.

    The explained cell stands at the top left. All bins of an explainer have one scale, cut at the 99.5th percentile of its means.

    Args:
        rows: by name of the explainer.
        title: of the figure.
        width: of the figure.
    """
    from matplotlib.figure import Figure

    inches, count = WIDTHS[width][1], len(BIN_EDGES) - 1
    side = inches / (count + _NAME)
    figure = Figure(figsize=(inches, 0.75 + (side + 0.18) * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), count + 1, squeeze=False, width_ratios=[_NAME, *[1] * count])
    for line, (name, own) in enumerate(rows.items()):
        first, *places = grid[line]
        first.set_axis_off()
        first.text(1, 0.5, folded(name, _CHARACTERS), ha="right", va="center", fontsize=NORMAL, parse_math=False, transform=first.transAxes)
        for number, place in enumerate(places):
            if own.counts[number]:
                _draw(place, own, number)
            else:
                place.set_axis_off()
                place.set_box_aspect(own.means.shape[1] / own.means.shape[2])
                place.text(0.5, 0.5, "no map", ha="center", va="center", fontsize=SMALL, color=CONTROL, transform=place.transAxes)
            if not line:
                place.set_title(f"{BIN_EDGES[number]} to {BIN_EDGES[number + 1]} %", fontsize=NORMAL)
    figure.suptitle(title, fontsize=NORMAL, parse_math=False)
    return figure


def aggatt_of(
    pooled: Pooled, model: str, explainers: Sequence[Sequence[str]], data_root: str | Path | None = None, width: Width = "screen"
) -> tuple[Figure | None, str]:
    """Draw the aggregated attributions of a model of a run on mosaics.

    Args:
        pooled: the run.
        model: name of the model in rows.
        explainers: canonical specs; several of one row have equal values, and the first with maps is drawn.
        data_root: directory of the data set, if it has moved.
        width: of the figure.

    Returns:
        The figure, or None and why, in one sentence.

    Raises:
        CamdbenchError: a file of maps is damaged.
    """
    found, missing = aggregated_maps(pooled, model, [name for row in explainers for name in row], data_root)
    once = [next((name for name in row if name in found), "") for row in explainers]
    rows = {name: found[name] for name in once if name}
    if not rows:
        return None, missing or "No mosaic has the explained class in one cell."
    return aggatt_figure(rows, f"aggregated attributions, best localised maps first · {model}", width), ""


def _draw(place: Any, own: AggregatedMaps, number: int) -> None:
    """Draw the mean map of a bin, its cells, and a frame around the explained one."""
    from matplotlib.patches import Rectangle

    height, width = own.means.shape[1:]
    place.set_xticks([])
    place.set_yticks([])
    place.imshow(own.means[number].numpy(), cmap="viridis", vmin=0, vmax=own.top or 1, interpolation="nearest")
    place.set_xlabel(f"L {own.shares[number]:.2f}, n {own.counts[number]}", fontsize=SMALL)
    for cut in range(1, own.cells):
        place.axhline(cut * height / own.cells - 0.5, color="white", lw=0.6)
        place.axvline(cut * width / own.cells - 0.5, color="white", lw=0.6)
    place.add_patch(
        Rectangle((-0.5, -0.5), width / own.cells, height / own.cells, fill=False, edgecolor=OKABE_ITO["vermillion"], lw=1.4, zorder=3)
    )
