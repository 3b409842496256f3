"""The palette is that of Okabe and Ito, on paper as on the page, and no two series look alike."""

from __future__ import annotations

import re
from importlib.resources import files

from camdbench.reporting.palette import CONTROL, OKABE_ITO, SERIES, look

PUBLISHED = {  # Okabe & Ito 2008, figure 16: red, green, blue
    "black": (0, 0, 0),
    "orange": (230, 159, 0),
    "sky blue": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "blue": (0, 114, 178),
    "vermillion": (213, 94, 0),
    "purple": (204, 121, 167),
}

DARK_YELLOW = "#a39600"  # the eighth colour of curves in reports


def test_the_colours_are_the_published_ones():
    assert {name: tuple(bytes.fromhex(colour[1:])) for name, colour in OKABE_ITO.items()} == PUBLISHED


def test_the_charts_of_the_page_have_no_other_colours():
    assets = files("camdbench.reporting").joinpath("assets")
    texts = [path.read_text(encoding="utf-8") for path in assets.iterdir() if "chart" in path.name]
    used = {colour.lower() for text in texts for colour in re.findall(r"#[0-9a-fA-F]{6}\b", text)}
    assert used <= {*OKABE_ITO.values(), CONTROL, DARK_YELLOW}
    assert SERIES[0] in used
    for text in texts:  # in the order of figures, with the colour of text for black
        if order := re.findall(r"--c(\d): ([^;]+);", text.partition("}")[0]):
            wanted = [colour if name != "black" else "var(--fore)" for name, colour in OKABE_ITO.items() if name != "yellow"]
            assert [colour for _, colour in order] == [*wanted, DARK_YELLOW]


def test_series_differ_in_colour_or_line_style_and_controls_are_hollow():
    looks = [look(place) for place in range(28)]
    assert len({(own.colour, own.dash) for own in looks}) == 28
    assert len({own.colour for own in looks[:7]}) == len({own.marker for own in looks[:7]}) == 7
    controls = [look(place, control=True) for place in range(4)]
    assert {(own.colour, own.fill) for own in controls} == {(CONTROL, "white")}
    assert len({(own.dash, own.marker) for own in controls}) == 4
    assert CONTROL not in {own.colour for own in looks}
