"""The pointing game against a literal reading and against Quantus where it is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.quantus_library import quantus
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from camdbench.functional.pointing import Ties, hits, near


def drawn(seed: int, levels: int = 4, size: tuple[int, int] = (5, 6)) -> tuple[Tensor, Tensor]:
    """Maps with many ties, and regions."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(levels, (6, *size), generator=generator).float()
    return maps, torch.rand(6, *size, generator=generator) < 0.3


def literally(values: Tensor, region: Tensor, ties: Ties) -> float:
    """One map, place by place."""
    top = max(values.flatten().tolist())
    height, width = values.shape
    places = [(row, column) for row in range(height) for column in range(width) if values[row, column].item() == top]
    found = [bool(region[place]) for place in places]
    if ties == "any":
        return float(any(found))
    if ties == "expected":
        return sum(found) / len(found)
    if ties == "first":
        return float(found[0])
    row, column = (sum(place[axis] for place in places) / len(places) for axis in (0, 1))
    return float(region[int(np.floor(row + 0.5)), int(np.floor(column + 0.5))])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["any", "first", "centroid", "expected"]))
def test_hits_are_those_of_a_literal_reading(seed: int, ties: Ties) -> None:
    maps, region = drawn(seed)
    expected = [literally(one, mask, ties) for one, mask in zip(maps, region, strict=True)]
    assert hits(maps, region, ties).tolist() == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_any_tie_is_the_rule_of_quantus(seed: int) -> None:
    maps, region = drawn(seed)
    region[:, 0, 0] = True  # Quantus counts an empty region as a hit
    theirs = quantus.PointingGame(disable_warnings=True).evaluate_batch(a_batch=maps.numpy(), s_batch=region.numpy())
    assert hits(maps, region, "any").tolist() == theirs.tolist()


def test_a_map_of_ones_hits_by_any_tie_and_by_the_area_on_average() -> None:
    region = torch.zeros(1, 10, 10, dtype=torch.bool)
    region[0, 2:6, 3:8] = True
    ones = torch.ones(1, 10, 10)
    assert [hits(ones, region, ties).item() for ties in ("any", "first", "centroid", "expected")] == [1, 0, 1, pytest.approx(0.2)]


def test_an_empty_region_is_never_hit() -> None:
    for ties in ("any", "first", "centroid", "expected"):
        assert hits(torch.ones(1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool), ties).item() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 1, 1.5, 2, 3]))
def test_a_tolerance_takes_in_what_is_strictly_nearer(seed: int, tolerance: float) -> None:
    region = drawn(seed)[1][:2]
    region[1] = seed % 2 == 0  # empty or full
    grown = near(region, tolerance)
    for own, found in zip(region, grown, strict=True):
        places = own.nonzero().tolist()
        for row in range(5):
            for column in range(6):
                closest = min(((row - r) ** 2 + (column - c) ** 2 for r, c in places), default=float("inf"))
                assert bool(found[row, column]) == (closest < tolerance**2 or bool(own[row, column]))


def test_torchray_accepts_14_pixels_away_and_not_15() -> None:
    region = torch.zeros(1, 1, 40, dtype=torch.bool)
    region[0, 0, 20] = True
    assert near(region, 15)[0, 0].nonzero().flatten().tolist() == list(range(6, 35))
