"""Grid of subplots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 3  # subplots per row


def panels(count: int, height: float) -> tuple[Figure, list[Any]]:
    """Return a figure with `count` subplots, at most three per row."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, count)
    down = -(-count // across)
    figure = Figure(figsize=(3.6 * across, 0.4 + max(1.2, height) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes
