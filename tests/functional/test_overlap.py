"""Mass, ranks, overlap and density against literal readings and against Quantus."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.quantus_library import quantus
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch import Tensor

from camdbench.functional.overlap import density_difference, f1, iou, region_energy, top_fraction


def drawn(seed: int, levels: int | None = None) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(5, 4, 6, generator=generator)
    if levels:
        maps = (maps * levels).floor() / levels
    region = torch.rand(5, 4, 6, generator=generator) < 0.4
    region[:, 1, 2], region[:, 3, 3] = True, False
    return maps, region


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_mass_inside_is_the_relevance_mass_of_quantus(seed: int) -> None:
    maps, region = drawn(seed)
    theirs = quantus.RelevanceMassAccuracy(disable_warnings=True).evaluate_batch(a_batch=maps.double().numpy(), s_batch=region.numpy())
    found = region_energy(maps, region)
    np.testing.assert_allclose((found.inside / found.total).numpy(), theirs, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(seed: int) -> None:
    maps, region = drawn(seed)
    for values, inside, found in zip(maps, region, f1(region_energy(maps, region)), strict=True):
        precision = values[inside].sum() / values.sum()
        recall = values[inside].sum() / inside.sum()
        assert found.item() == pytest.approx((2 * precision * recall / (precision + recall)).item(), rel=1e-5)


def test_f1_of_a_map_of_ones() -> None:
    region = torch.zeros(1, 10, 10, dtype=torch.bool)
    region[0, :4] = True
    assert f1(region_energy(torch.ones(1, 10, 10), region)).item() == pytest.approx(2 * 0.4 / 1.4)
    assert f1(region_energy(region.float(), region)).item() == 1
    assert f1(region_energy((~region).float(), region)).item() == 0
    assert f1(region_energy(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))).isnan().item()


class TestTopShare:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000))
    def test_without_ties_it_is_the_rank_accuracy_of_quantus(self, seed: int) -> None:
        maps, region = drawn(seed)
        theirs = quantus.RelevanceRankAccuracy(disable_warnings=True).evaluate_batch(maps.double().numpy(), region.numpy())
        for ties in ("expected", "first"):
            np.testing.assert_allclose(top_fraction(maps, region, ties).numpy(), theirs, rtol=1e-12)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 4))
    def test_ties_are_expected_over_their_draws_or_taken_in_raster_order(self, seed: int, levels: int) -> None:
        maps, region = drawn(seed, levels)
        expected, first = top_fraction(maps, region), top_fraction(maps, region, "first")
        for index, (values, inside) in enumerate(zip(maps.flatten(1).tolist(), region.flatten(1).tolist(), strict=True)):
            count = sum(inside)
            order = sorted(range(len(values)), key=lambda place: -values[place])  # sorted keeps the order of equals
            assert first[index].item() == pytest.approx(sum(inside[place] for place in order[:count]) / count)
            last = values[order[count - 1]]
            above = [place for place in order if values[place] > last]
            level = [place for place in order if values[place] == last]
            chance = (count - len(above)) / len(level)
            mean = sum(inside[place] for place in above) + chance * sum(inside[place] for place in level)
            assert expected[index].item() == pytest.approx(mean / count)

    def test_a_constant_map_finds_the_area(self) -> None:
        region = torch.zeros(1, 4, 5, dtype=torch.bool)
        region[0, 0, :3] = True
        assert top_fraction(torch.ones(1, 4, 5), region).item() == pytest.approx(3 / 20)

    def test_no_region_has_no_share(self) -> None:
        assert top_fraction(torch.rand(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)).isnan().item()
        assert top_fraction(torch.rand(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool), "first").isnan().item()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_iou_is_scikit_learns(seed: int) -> None:
    maps, region = drawn(seed)
    binary = maps >= 0.5
    theirs = [jaccard_score(one.flatten().numpy(), other.flatten().numpy()) for one, other in zip(region, binary, strict=True)]
    assert iou(binary, region).tolist() == pytest.approx(theirs)


def test_iou_of_nothing_has_no_value_but_with_an_epsilon() -> None:
    empty, full = torch.zeros(1, 2, 2, dtype=torch.bool), torch.ones(1, 2, 2, dtype=torch.bool)
    assert iou(empty, empty).isnan().item()
    assert iou(empty, empty, 1e-10).item() == 1
    assert iou(empty, full, 1e-10).item() == pytest.approx(1e-10 / 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_density_on_the_object_less_that_off_it(seed: int) -> None:
    maps, region = drawn(seed)
    theirs = [
        (values[inside].double().mean() - values[~inside].double().mean()).item() for values, inside in zip(maps, region, strict=True)
    ]
    assert density_difference(maps, region).tolist() == pytest.approx(theirs)


def test_a_region_without_pixels_on_either_side_has_no_density() -> None:
    maps = torch.rand(2, 3, 3)
    region = torch.stack([torch.ones(3, 3), torch.zeros(3, 3)]).bool()
    assert all(math.isnan(value) for value in density_difference(maps, region).tolist())
