"""Grid of subplots, for a screen or for the columns of a paper."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal

from camdbench.reporting.palette import CONTROL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Width = Literal["screen", "single", "double"]
WIDTHS: dict[Width, tuple[int, float]] = {"screen": (3, 10.8), "single": (1, 3.4), "double": (2, 7.0)}
"""Subplots per row and inches: of a screen, one column and two columns of a paper."""

SMALL, NORMAL = 7, 8  # sizes of text in points
_LINE = 0.125  # inches of a line of small text
_FOLD = 38  # characters of a line of a name
_SLACK = 0.02  # of a range that is limited, beyond its ends


def panels(
    count: int, height: float, width: Width = "screen", *, across: int | None = None, share: bool = False
) -> tuple[Figure, list[Any]]:
    """Return a figure with `count` subplots.

    Args:
        count: number of subplots.
        height: inches of a subplot.
        width: of the figure.
        across: subplots per row, which fill the width; default: as many as fit, each of the same width.
        share: whether subplots side by side share their vertical axis, which is labelled on the left.
    """
    from matplotlib.figure import Figure

    most, inches = WIDTHS[width]
    if across is None:
        across = min(most, count)
        inches *= across / most
    down = -(-count // across)
    figure = Figure(figsize=(inches, 0.5 + max(1.2, height) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey="row" if share else False).ravel().tolist()
    for place in axes:
        place.tick_params(labelsize=SMALL)
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes


def folded(name: str, characters: int = _FOLD) -> str:
    r"""Break a long name into lines.

    >>> folded("power(opticam(iterations=50), alpha=2.0)", 30)
    'power(opticam(iterations=50),\nalpha=2.0)'
    """
    return "\n".join(textwrap.wrap(name, characters, break_on_hyphens=False))


def height_of_rows(names: list[str]) -> float:
    """Inches of a subplot with one row per name."""
    most = max((folded(name).count("\n") for name in names), default=0)
    return 0.75 + (0.2 + _LINE * most) * len(names)


def name_rows(place: Any, names: list[str], controls: list[bool]) -> None:
    """Write the names of rows on the left, the first on top; those of controls are grey."""
    place.set_ylim(len(names) - 0.4, -0.6)
    place.set_yticks(range(len(names)), [folded(name) for name in names], fontsize=SMALL)
    for text, control in zip(place.get_yticklabels(), controls, strict=False):  # subplots further right have none
        text.set_parse_math(False)
        text.set_color(CONTROL if control else "black")


def name_missing(place: Any, row: int) -> None:
    """Write into a row that there is no value."""
    place.text(0.01, row, "no value", transform=place.get_yaxis_transform(), va="center", fontsize=SMALL, color=CONTROL)


def limit(place: Any, axis: Literal["x", "y"], ends: tuple[float, float]) -> None:
    """End an axis shortly beyond what is possible; a range that holds less, or a value outside, leaves it as it is."""
    shown = place.get_xlim() if axis == "x" else place.get_ylim()
    bounds = place.dataLim.intervalx if axis == "x" else place.dataLim.intervaly
    if bounds[0] < ends[0] - 1e-9 or bounds[1] > ends[1] + 1e-9:
        return
    slack = _SLACK * (shown[1] - shown[0])
    (place.set_xlim if axis == "x" else place.set_ylim)(max(shown[0], ends[0] - slack), min(shown[1], ends[1] + slack))


def legend_below(figure: Figure, handles: list[Any], names: list[str]) -> None:
    """Draw a legend below the subplots, in as many columns as its names leave room for."""
    texts = [folded(name, 60) for name in names]
    longest = max((len(line) for text in texts for line in text.split("\n")), default=1)
    columns = max(1, min(5, int(figure.get_figwidth() / (0.6 + 0.058 * longest))))
    legend = figure.legend(handles, texts, loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
