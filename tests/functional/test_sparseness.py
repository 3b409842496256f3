"""Concentration of maps: golden values, scipy, and the Gini index by its definition over all pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from camdbench.functional.sparseness import count_relevant, entropy, gini


@pytest.fixture
def maps() -> Tensor:
    found = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(0)) ** 3
    found[1, :3] = 0
    found[2] = found[2].round(decimals=1)  # many equal values
    return found


def test_a_uniform_map_of_imagenets_size() -> None:
    uniform = torch.ones(1, 224, 224)
    assert gini(uniform).item() == pytest.approx(0, abs=1e-12)
    assert entropy(uniform).item() == pytest.approx(10.8233, abs=5e-5)
    assert entropy(uniform, normalised=True).item() == pytest.approx(1)
    assert count_relevant(uniform, 1e-5).item() == 224 * 224


def test_a_single_place_of_imagenets_size() -> None:
    single = torch.zeros(1, 224, 224)
    single[0, 3, 5] = 7
    assert gini(single).item() == pytest.approx(0.99998, abs=5e-6)
    assert gini(single).item() == pytest.approx(1 - 1 / 224**2, abs=1e-12)
    assert entropy(single).item() == 0
    assert count_relevant(single, 1e-5).item() == 1


def test_gini_is_the_mean_difference_of_all_pairs_over_twice_the_mean(maps: Tensor) -> None:
    for item, found in zip(maps.double(), gini(maps).tolist(), strict=True):
        values = item.flatten()
        pairs = (values[:, None] - values[None]).abs().mean()
        assert found == pytest.approx((pairs / (2 * values.mean())).item(), abs=1e-12)


def test_entropy_is_scipys(maps: Tensor) -> None:
    expected = [scipy.stats.entropy(item.double().flatten().numpy()) for item in maps]
    np.testing.assert_allclose(entropy(maps).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(entropy(maps, normalised=True).numpy(), np.array(expected) / math.log(42), atol=1e-12)


def test_scale_does_not_matter(maps: Tensor) -> None:
    for measure in (gini, entropy, lambda found: count_relevant(found, 0.1)):
        torch.testing.assert_close(measure(maps), measure(1000 * maps))


def test_relevant_places_are_counted_against_the_maps_own_maximum() -> None:
    found = torch.tensor([[[0.0, 1.0, 2.0, 10.0]], [[0.0, 0.001, 0.002, 0.01]]], dtype=torch.float64)
    assert count_relevant(found, 0.15).tolist() == [2, 2]
    assert count_relevant(found, 0).tolist() == [3, 3]


def test_a_map_of_zeros_has_neither() -> None:
    zeros = torch.zeros(1, 2, 2)
    assert gini(zeros).isnan().all()
    assert entropy(zeros).isnan().all()


def test_one_place() -> None:
    one = torch.full((1, 1, 1), 3.0)
    assert gini(one).item() == 0
    assert entropy(one).item() == 0
    assert entropy(one, normalised=True).isnan().all()
