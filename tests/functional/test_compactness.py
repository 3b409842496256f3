"""MST-C: values of the definition, and a tree found edge by edge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from camdbench.functional.compactness import compactness, hull_area, tree_length

BLOCK = np.argwhere(np.ones((4, 5)))


def test_a_block_of_4_by_5_pixels_in_10_by_10() -> None:
    assert tree_length(BLOCK, 20) == pytest.approx(19)
    assert hull_area(BLOCK) == pytest.approx(12)
    assert compactness(BLOCK, (10, 10)) == pytest.approx(429.735, abs=1e-3)


def test_twenty_scattered_pixels_and_all_pixels_of_10_by_10() -> None:
    places = np.random.RandomState(0).permutation(100)[:20]
    assert compactness(np.stack([places // 10, places % 10], 1), (10, 10)) == pytest.approx(124.32, abs=5e-3)
    assert compactness(np.argwhere(np.ones((10, 10))), (10, 10)) == pytest.approx(158.72, abs=5e-3)


def slow_tree(points: np.ndarray, neighbours: int) -> float:
    """Kruskal: shortest edges first, unless both ends are joined already."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    edges = {
        (min(one, other), max(one, other))
        for one in range(len(points))
        for other in sorted((place for place in range(len(points)) if place != one), key=lambda place: apart[one, place])[:neighbours]
    }
    part, length = list(range(len(points))), 0.0
    for one, other in sorted(edges, key=lambda edge: apart[edge]):
        if part[one] != part[other]:
            length += apart[one, other]
            part = [part[one] if own == part[other] else own for own in part]
    return length


@pytest.mark.parametrize("neighbours", [1, 3, 40])
def test_the_tree_is_kruskal_s(neighbours: int) -> None:
    points = np.random.default_rng(neighbours).random((30, 2))  # without equal distances
    assert tree_length(points, neighbours) == pytest.approx(slow_tree(points, neighbours))


def test_far_clusters_have_a_tree_each() -> None:
    blocks = np.concatenate([BLOCK, BLOCK + 100])
    assert tree_length(blocks, 5) == pytest.approx(2 * 19)
    assert tree_length(blocks, 39) > 2 * 19 + 130


def test_pixels_on_one_line_have_the_image_s_square_and_one_pixel_has_nothing() -> None:
    line = np.stack([np.arange(5), np.full(5, 3)], 1)
    assert compactness(line, (10, 10)) == pytest.approx(100 * 5 / 4)
    assert math.isnan(compactness(line[:1], (10, 10)))
