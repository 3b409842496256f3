"""Panels of a figure, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 3  # panels side by side


def panels(count: int, height: float) -> tuple[Figure, list[Any]]:
    """A figure with so many panels, three side by side at most."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, count)
    down = -(-count // across)
    figure = Figure(figsize=(3.6 * across, 0.4 + max(1.2, height) * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes
