"""Orderings: against loops that read the definitions literally."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from camdbench.functional.pixel_order import count_patches, grid_ranks, patches, pixel_ranks, segment_ranks, sliding_ranks

SIZES = [(12, 10), (7, 11), (1, 1)]


def tied_maps(size: tuple[int, int], seed: int = 0) -> Tensor:
    """Three maps of few different values, so that most pixels are tied."""
    return torch.randint(0, 4, (3, *size), generator=torch.Generator().manual_seed(seed)).float() / 3


@pytest.mark.parametrize("ties", ["first", "last"])
@pytest.mark.parametrize("most_first", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_come_by_value_and_then_by_position(size: tuple[int, int], most_first: bool, ties: str) -> None:
    maps = tied_maps(size)
    for row, found in zip(maps.flatten(1).tolist(), pixel_ranks(maps, most_first=most_first, ties=ties).tolist(), strict=True):
        value, position = (-1 if most_first else 1), (1 if ties == "first" else -1)
        order = sorted(range(len(row)), key=lambda place: (value * row[place], position * place))
        assert [order.index(place) for place in range(len(row))] == found


def test_last_of_ties_is_a_stable_ascending_sort_turned_round() -> None:
    maps = tied_maps((9, 8))
    order = np.flip(np.argsort(maps.flatten(1).numpy(), axis=1, kind="stable"), axis=1)
    expected = np.argsort(order, axis=1)
    assert pixel_ranks(maps, ties="last").tolist() == expected.tolist()


@pytest.mark.parametrize("patch", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_patches_of_a_grid_come_by_the_sum_of_their_map(size: tuple[int, int], patch: int) -> None:
    maps = torch.rand(2, *size, generator=torch.Generator().manual_seed(1))
    found = grid_ranks(maps, patch).unflatten(1, size)
    height, width = size
    for index, map_ in enumerate(maps):
        sums = dict[tuple[int, int], float]()
        before = [(-(-side // patch) * patch - side) // 2 for side in size]
        for y, x in itertools.product(range(height), range(width)):
            cell = ((y + before[0]) // patch, (x + before[1]) // patch)
            sums[cell] = sums.get(cell, 0) + float(map_[y, x])
        order = sorted(sums, key=lambda cell: -sums[cell])
        assert len(sums) == count_patches(size, patch)
        for y, x in itertools.product(range(height), range(width)):
            assert order.index(((y + before[0]) // patch, (x + before[1]) // patch)) == found[index, y, x]


def test_a_grid_that_does_not_fit_is_cut_on_both_sides() -> None:
    assert patches((1, 7), 5, torch.device("cpu")).tolist() == [[0, 0, 0, 0, 1, 1, 1]]


@pytest.mark.parametrize("ties", ["first", "last"])
@pytest.mark.parametrize("most_first", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sliding_patches_are_the_best_of_those_that_do_not_overlap(size: tuple[int, int], most_first: bool, ties: str) -> None:
    maps, patch, regions = (8 * tied_maps(size)).round() / 8, 3, 5
    found = sliding_ranks(maps, patch, regions, most_first=most_first, ties=ties).unflatten(1, size)
    for map_, ranks in zip(maps, found, strict=True):
        assert torch.equal(ranks, _greedy(map_, patch, regions, most_first=most_first, ties=ties))


def _greedy(map_: Tensor, patch: int, regions: int, *, most_first: bool, ties: str) -> Tensor:
    """All candidates sorted once, those that overlap an earlier one struck out."""
    height, width = map_.shape
    padded = torch.zeros(height + patch - 1, width + patch - 1, dtype=torch.float64)
    padded[:height, :width] = map_
    corners = list(itertools.product(range(height), range(width)))
    value, position = (-1 if most_first else 1), (1 if ties == "first" else -1)
    sums = {(y, x): round(float(padded[y : y + patch, x : x + patch].sum()), 6) for y, x in corners}
    taken, ranks = torch.zeros(padded.shape, dtype=torch.bool), torch.full_like(padded, regions, dtype=torch.int64)
    count = 0
    for y, x in sorted(corners, key=lambda corner: (value * sums[corner], position * corners.index(corner))):
        own = (slice(y, y + patch), slice(x, x + patch))
        if count < regions and not taken[own].any():
            taken[own], ranks[own], count = True, count, count + 1
    return ranks[:height, :width]


def test_where_no_patch_is_left_no_more_are_taken() -> None:
    maps = torch.rand(1, 5, 4, generator=torch.Generator().manual_seed(0))
    found = sliding_ranks(maps, 3, 50).unflatten(1, (5, 4))[0]
    assert torch.equal(found, _greedy(maps[0], 3, 50, most_first=True, ties="first"))
    assert sorted({*found.flatten().tolist()} - {50}) == list(range(len({*found.flatten().tolist()} - {50})))


def test_segments_come_by_the_mean_of_their_map() -> None:
    maps = torch.tensor([[[1.0, 0.0], [0.4, 0.3]], [[0.1, 0.1], [0.9, 0.9]]])
    labels = torch.tensor([[[0, 0], [1, 2]], [[0, 0], [1, 1]]])  # means 0.5, 0.4, 0.3 and 0.1, 0.9
    assert segment_ranks(maps, labels).tolist() == [[0, 0, 1, 2], [1, 1, 0, 0]]


@pytest.mark.parametrize("function", [pixel_ranks, lambda maps: grid_ranks(maps, 3), lambda maps: sliding_ranks(maps, 3, 4)])
def test_no_image_depends_on_its_batch_mates(function) -> None:
    maps = tied_maps((8, 9))
    assert torch.equal(function(maps), torch.cat([function(maps[index : index + 1]) for index in range(3)]))


@pytest.mark.parametrize("ties", ["first", "last"])
def test_values_that_rounding_alone_tells_apart_are_equals(ties: str) -> None:
    maps = tied_maps((9, 8))
    noise = 1e-7 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(1))
    for function in (
        pixel_ranks,
        lambda maps, ties: grid_ranks(maps, 2, ties=ties),
        lambda maps, ties: sliding_ranks(maps, 2, 9, ties=ties),
    ):
        assert torch.equal(function(maps, ties=ties), function(maps + noise, ties=ties))
    apart = maps + torch.linspace(0, 1e-3, 72).reshape(9, 8)  # neighbours differ by more than rounding does
    assert pixel_ranks(apart, ties=ties).tolist() == pixel_ranks(apart).tolist()


def test_the_flat_part_of_a_smooth_map_is_no_single_tie() -> None:
    maps = torch.randn(2, 60, 80, generator=torch.Generator().manual_seed(0)).abs() ** 5  # most values lie close to zero
    for most_first in (True, False):
        ordered = torch.empty_like(maps.flatten(1)).scatter_(1, pixel_ranks(maps, most_first=most_first), maps.flatten(1))
        steps = ordered.diff(dim=1) * (-1 if most_first else 1)
        assert (steps >= -1e-5 * maps.amax((1, 2))[:, None]).all(), "no value comes before another by more than a level"
