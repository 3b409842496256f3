"""Pictures of the reference pages as bytes: maps beside their images, curves, bars."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from camdbench.functional.map_overlay import overlay

SIDE, GAP = 180, 6  # pixels of a picture, and between two


def map_strip(pictures: Sequence[np.ndarray], maps: Sequence[Sequence[np.ndarray]]) -> bytes:
    """JPEG of one row per image: the image, then its overlays.

    Args:
        pictures: images (H, W, 3) in [0, 1].
        maps: maps (H, W) in [0, 1] of each image.
    """
    rows = [[picture, *(overlay(picture, one) / 255 for one in own)] for picture, own in zip(pictures, maps, strict=True)]
    return _joined(rows, stacked=len(rows[0]) > 2)


def _joined(rows: Sequence[Sequence[np.ndarray]], *, stacked: bool) -> bytes:
    """Pictures of each row side by side; rows below each other if `stacked`, else in one line."""
    lines = rows if stacked else [[picture for row in rows for picture in row]]
    width, height = (max(map(len, lines)), len(lines))
    sheet = Image.new("RGB", (width * (SIDE + GAP) - GAP, height * (SIDE + GAP) - GAP), "white")
    for down, line in enumerate(lines):
        for right, picture in enumerate(line):
            pixels = Image.fromarray(np.rint(255 * picture).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(pixels, (right * (SIDE + GAP), down * (SIDE + GAP)))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=82, optimize=True)
    return content.getvalue()


def curve_plot(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> bytes:
    """PNG of curves with a legend.

    Args:
        curves: points (x, y) by label.
        x: label of the axis.
        y: label of the axis.
    """
    figure = Figure(figsize=(5.2, 2.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for label, (places, values) in curves.items():
        axes.plot(places, values, label=label, linewidth=1.5)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    return _png(figure, axes)


def bar_plot(values: Mapping[str, float], unit: str) -> bytes:
    """PNG of one bar per name."""
    figure = Figure(figsize=(5.2, 0.5 + 0.35 * len(values)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    names = list(values)[::-1]
    axes.barh(names, [values[name] for name in names], color="#31688e")
    axes.set_xlabel(unit or "value", fontsize=8)
    return _png(figure, axes)


def _png(figure: Figure, axes: object) -> bytes:
    axes.tick_params(labelsize=8)  # type: ignore[attr-defined]
    axes.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
    if axes.get_legend_handles_labels()[0]:  # type: ignore[attr-defined]
        axes.legend(fontsize=7, frameon=False)  # type: ignore[attr-defined]
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
