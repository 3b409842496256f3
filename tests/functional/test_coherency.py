"""Coherency: against scipy's correlation; the harmonic mean against Python's."""

from __future__ import annotations

import statistics

import pytest
import torch
from scipy.stats import pearsonr

from camdbench.functional.coherency import coherency, harmonic_mean


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_it_is_scipys_correlation_brought_to_a_share(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(3, 5, 7, generator=generator) for _ in range(2))
    expected = [(pearsonr(*(maps[index].flatten().double().numpy() for maps in (first, second)))[0] + 1) / 2 for index in range(3)]
    assert coherency(first * scale, second).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_map_is_like_itself_unlike_its_inverse_and_a_constant_like_nothing() -> None:
    maps = torch.rand(2, 5, 7)
    assert coherency(maps, maps).tolist() == pytest.approx([1, 1])
    assert coherency(maps, 1 - maps).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert coherency(maps, torch.full((2, 5, 7), 0.3)).isnan().all()
    assert coherency(torch.zeros(2, 5, 7), maps).isnan().all()


def test_the_harmonic_mean_is_pythons() -> None:
    shares = torch.rand(3, 10, dtype=torch.float64)
    shares[1, 4] = 0
    expected = [statistics.harmonic_mean(column) for column in shares.T.tolist()]
    assert harmonic_mean(*shares).tolist() == pytest.approx(expected)
