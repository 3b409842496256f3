"""A grid of subplots, at most three in a row."""

from __future__ import annotations

import pytest
from helpers.each import each

from camdbench.reporting.subplot_grid import WIDTHS, Width, folded, limit, panels


@each(("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3)])
def test_places_that_are_left_over_are_empty(count: int, across: int, down: int) -> None:
    figure, axes = panels(count, height=2.0)
    assert len(axes) == len(figure.axes) == across * down
    assert [place.axison for place in axes] == [True] * count + [False] * (across * down - count)
    assert tuple(figure.get_size_inches()) == pytest.approx((3.6 * across, 0.5 + 2 * down))
    rows = {place.get_subplotspec().rowspan.start for place in axes[:count]}
    assert rows == set(range(down))


def test_a_low_subplot_is_high_enough_to_be_read() -> None:
    figure, _ = panels(1, height=0.1)
    assert figure.get_size_inches()[1] == pytest.approx(0.5 + 1.2)


@pytest.mark.parametrize(("width", "inches"), [("single", 3.4), ("double", 7.0), ("screen", 10.8)])
def test_figures_have_the_width_of_their_column(width: Width, inches: float) -> None:
    assert panels(5, 2.0, width)[0].get_figwidth() == pytest.approx(inches)
    assert panels(1, 2.0, width, across=1)[0].get_figwidth() == pytest.approx(inches)
    assert panels(1, 2.0, width)[0].get_figwidth() == pytest.approx(inches / WIDTHS[width][0])


def test_an_axis_ends_near_what_is_possible_and_never_before_a_value() -> None:
    _, (place,) = panels(1, 2.0)
    place.plot([0, 1], [0.0, 1.0])
    limit(place, "y", (0.0, 1.0))
    low, high = place.get_ylim()
    assert -0.03 < low < 0
    assert 1 < high < 1.03
    before = place.get_ylim()
    limit(place, "y", (0.2, 0.8))  # a range that the values leave
    assert place.get_ylim() == before


def test_long_names_are_folded_and_none_is_lost() -> None:
    name = 'power(opticam(iterations=50, objective="mean_squared"), alpha=2.0)'
    assert all(len(line) <= 38 for line in folded(name).split("\n"))
    assert folded(name).replace("\n", " ") == name
