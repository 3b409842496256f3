"""Views of a square: eight of them, all different, and each is undone exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.each import each

from camdbench.functional.d4_symmetries import VIEWS, apply_view, apply_views, invert_view, invert_views


@each("view", VIEWS)
def test_a_view_is_undone_exactly(view) -> None:
    images = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(invert_view(apply_view(images, view), view), images)


def test_all_eight_differ_and_are_numpys() -> None:
    image = np.arange(9).reshape(3, 3)
    literal = [
        image,
        np.fliplr(image),
        np.flipud(image),
        np.rot90(image, 2),
        np.rot90(image),
        np.rot90(image, 3),
        np.rot90(np.flipud(image)),
        np.rot90(np.fliplr(image)),
    ]
    found = [apply_view(torch.from_numpy(image), view) for view in VIEWS]
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(found, literal, strict=True))
    assert len({tuple(one.flatten().tolist()) for one in found}) == 8


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_the_first_views_are_a_group(count: int) -> None:
    image = torch.arange(9).reshape(3, 3)
    known = {tuple(apply_view(image, view).flatten().tolist()) for view in VIEWS[:count]}
    twice = {tuple(apply_view(apply_view(image, a), b).flatten().tolist()) for a in VIEWS[:count] for b in VIEWS[:count]}
    assert twice == known


def test_a_marked_place_comes_back_from_every_view() -> None:
    maps = torch.zeros(2, 5, 5)
    maps[0, 0, 1] = maps[1, 3, 4] = 1
    back = invert_views(apply_views(maps, VIEWS), VIEWS)
    assert torch.equal(back, maps.expand(8, -1, -1, -1))
