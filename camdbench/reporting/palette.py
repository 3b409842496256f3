"""Colours, line styles and markers of charts, which readers with any colour vision can distinguish.

The colours are those of Okabe & Ito 2008 (Color Universal Design, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from typing import NamedTuple

OKABE_ITO = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "sky blue": "#56b4e9",
    "orange": "#e69f00",
    "black": "#000000",
    "yellow": "#f0e442",
}
SERIES = tuple(colour for name, colour in OKABE_ITO.items() if name != "yellow")  # yellow lines are too faint on white
"""Colours of series, in order; the first is that of a chart with one series."""
"""Yellow of the page on white."""
CONTROL = "#808080"
"""Colour of controls, whose bars and markers are hollow."""
FAINT = "#d9d9d9"
"""Colour of what is drawn for comparison."""

_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Look(NamedTuple):
    """Look of a series: keyword arguments of a line in matplotlib are in `line`.

    Attributes:
        colour: hexadecimal.
        dash: line style.
        marker: marker.
        fill: colour of the marker's face.
    """

    colour: str
    dash: str
    marker: str
    fill: str

    @property
    def line(self) -> dict[str, str]:
        """Keyword arguments of a line with markers."""
        return {"color": self.colour, "ls": self.dash, "marker": self.marker, "mfc": self.fill}


def look(place: int, *, control: bool = False) -> Look:
    """Return the look of a series; no two of 28 explainers agree in colour and line style.

    >>> look(0)
    Look(colour='#0072b2', dash='-', marker='o', fill='#0072b2')
    >>> look(7).colour == look(0).colour, look(7).dash, look(1, control=True).fill
    (True, ':', 'white')

    Args:
        place: position among the series of its kind.
        control: whether it is a control.
    """
    marker = _MARKERS[place % len(_MARKERS)]
    if control:
        return Look(CONTROL, _DASHES[place % len(_DASHES)], marker, "white")
    colour = SERIES[place % len(SERIES)]
    return Look(colour, _DASHES[place % len(_DASHES)], marker, colour)
