"""A grid of subplots, at most three in a row."""

from __future__ import annotations

import pytest

from camdbench.reporting.subplot_grid import panels


@pytest.mark.parametrize(("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (7, 3, 3)])
def test_places_that_are_left_over_are_empty(count: int, across: int, down: int) -> None:
    figure, axes = panels(count, height=2.0)
    assert len(axes) == len(figure.axes) == across * down
    assert [place.axison for place in axes] == [True] * count + [False] * (across * down - count)
    assert tuple(figure.get_size_inches()) == pytest.approx((3.6 * across, 0.4 + 2 * down))
    rows = {place.get_subplotspec().rowspan.start for place in axes[:count]}
    assert rows == set(range(down))


def test_a_low_subplot_is_high_enough_to_be_read() -> None:
    figure, _ = panels(1, height=0.1)
    assert figure.get_size_inches()[1] == pytest.approx(0.4 + 1.2)
