"""Layout of images in rows and columns with wrapped text below each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

WIDTH, GAP = 1.7, 0.12  # of a picture and between pictures, in inches
TALLEST = 2.0  # height over width of a picture that fills the width of its column
_FONT = 8.0  # points
_LINE = 1.25 * _FONT / 72  # height of a line of text, in inches
_BREAKS = " (,_/-="  # a line may end after these


@dataclass(frozen=True)
class PageRow:
    """One row of images.

    Attributes:
        picture: height of the images in inches.
        texts: wrapped text below each image.
    """

    picture: float
    texts: list[list[str]]

    @property
    def height(self) -> float:
        """Height of images, text and margins, in inches."""
        return self.picture + max(map(len, self.texts)) * _LINE + 2 * GAP


@dataclass(frozen=True)
class PageSection:
    """Rows of images below one row of headings.

    Attributes:
        head: wrapped heading of each column.
        rows: the rows.
    """

    head: list[list[str]]
    rows: list[PageRow]

    @property
    def top(self) -> float:
        """Height of headings and margins, in inches."""
        return 2 * GAP + max(map(len, self.head)) * _LINE

    @property
    def height(self) -> float:
        """Total height in inches."""
        return self.top + sum(row.height for row in self.rows)


class Page:
    """Places images and texts on a figure, section below section; lengths in inches from the top left corner."""

    def __init__(self, figure: Figure, bands: list[PageSection]) -> None:
        self.figure, self.bands = figure, bands
        self.width = max(len(band.head) for band in bands) * (WIDTH + GAP) + GAP
        self.height = sum(band.height for band in bands)
        figure.set_size_inches(self.width, self.height)
        for number, band in enumerate(bands):
            for column, lines in enumerate(band.head):
                self._write(column, self._below(number, 0) - GAP / 2, lines, "bottom", weight="bold")

    def draw(self, number: int, line: int, pictures: Sequence[np.ndarray[Any, Any]]) -> None:
        """Draw images (H, W, 3) and their texts in a row of section `number`."""
        row, top = self.bands[number].rows[line], self._below(number, line)
        for column, (picture, lines) in enumerate(zip(pictures, row.texts, strict=True)):
            left, bottom = self._left(column), self.height - top - row.picture
            place = (left / self.width, bottom / self.height, WIDTH / self.width, row.picture / self.height)
            axes = self.figure.add_axes(place)
            fills = picture.shape[0] * WIDTH <= picture.shape[1] * row.picture * (1 + 1e-9)
            axes.imshow(picture, aspect="auto" if fills else "equal")
            axes.set_axis_off()
            self._write(column, top + row.picture + GAP / 2, lines, "top")

    def _below(self, number: int, line: int) -> float:
        """Return the top of a row of section `number`."""
        band = self.bands[number]
        return sum(above.height for above in self.bands[:number]) + band.top + sum(row.height for row in band.rows[:line])

    def _left(self, column: int) -> float:
        return GAP + column * (WIDTH + GAP)

    def _write(self, column: int, y: float, lines: list[str], anchor: str, weight: str = "normal") -> None:
        x = self._left(column) + WIDTH / 2
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            "\n".join(lines),
            ha="center",
            va=anchor,
            fontsize=_FONT,
            fontweight=weight,
            linespacing=1.1,
            parse_math=False,  # a dollar in a class name is a dollar
        )


def folder(canvas: FigureCanvasAgg, dpi: int) -> Callable[[str], list[str]]:
    """Return a function that wraps a text to the width of an image."""
    from matplotlib.font_manager import FontProperties

    renderer, font = canvas.get_renderer(), FontProperties(size=_FONT, weight="bold")  # bold is the wider one

    def fits(text: str) -> bool:
        return renderer.get_text_width_height_descent(text, font, ismath=False)[0] <= WIDTH * dpi

    return lambda text: [line for part in text.splitlines() for line in _fold(part, fits)]


def _fold(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Wrap a text, preferably after a blank or punctuation.

    >>> _fold("opticam(iterations=50)", lambda line: len(line) <= 12)
    ['opticam(', 'iterations=', '50)']
    """
    lines = list[str]()
    while text:
        end = 1 + bisect_left(range(2, len(text) + 1), True, key=lambda end: not fits(text[:end].rstrip()))  # one character at least
        if end < len(text):
            end = next((place for place in range(end, 0, -1) if text[place - 1] in _BREAKS), end)
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines
