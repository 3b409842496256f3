"""Shapley sampling: a known game, exact values, sums that are exact for any number of permutations, and the gain of pairs."""

from __future__ import annotations

import itertools

import pytest
import torch
from captum.attr import ShapleyValueSampling
from helpers.toys import toy_batch, toy_classifier
from helpers.two_pixels import two_pixels
from torch import Tensor

from camdbench.explainers.common.segments import segment
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.kernelshap import kernelshap
from camdbench.explainers.shapleysampling import _exact, _orders, _sampled, shapleysampling

pytestmark = pytest.mark.usefixtures("float64")

GRID = {"segments": "grid", "cells": 3}


def test_of_a_product_each_player_gets_half() -> None:
    found = shapleysampling(two_pixels(), segments="grid", cells=2, fill="black")
    assert found.flatten().tolist() == pytest.approx([2.5, 3.5, 0, 0])


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_with_all_coalitions_it_is_exact_kernelshap(score: str) -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    found = shapleysampling(trace, samples=64, score=score, **GRID)  # 2^9 - 2 <= 64 * 8
    torch.testing.assert_close(found, kernelshap(trace, samples=510, score=score, **GRID), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_values_sum_to_the_gain_for_any_number_of_permutations(samples: int) -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    density = shapleysampling(trace, samples=samples, spread="density", **GRID)
    with torch.no_grad():
        blank = trace.score(trace.classifier.mean.expand_as(trace.images)).gather(1, trace.targets[:, None]).squeeze(1)
    torch.testing.assert_close(density.double().sum((1, 2)), trace.target_logits - blank, rtol=1e-5, atol=1e-6)


def test_is_captums_mean_over_the_same_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace(toy_classifier("dense"), toy_batch(1))
    orders = _orders(9, 4, trace.random(0, "shapleysampling"))
    sampler = ShapleyValueSampling(trace.classifier)
    monkeypatch.setattr(sampler, "permutation_generator", lambda *_: iter([own.tolist() for own in orders]))
    with torch.no_grad():
        start = trace.classifier.mean.expand_as(trace.images)
        reference = sampler.attribute(
            trace.images, start, trace.targets, feature_mask=segment(trace, "grid", 3).labels[:, None], n_samples=4
        )
    found = shapleysampling(trace, samples=4, **GRID)
    torch.testing.assert_close(found, reference[:, 0].to(found), rtol=1e-6, atol=1e-6)


def scores_of(kept: Tensor, table: Tensor) -> Tensor:
    """A game's values of coalitions (N, K), from a table of 2^K."""
    return table[(kept * 2 ** torch.arange(kept.shape[1])).sum(1).long()]


def test_a_permutation_and_its_reverse_vary_less_than_two_drawn_ones() -> None:
    """By a half and more, on a game in which pairs of players count."""
    kept = torch.tensor([list(map(float, row[::-1])) for row in itertools.product((0, 1), repeat=6)])
    table = torch.einsum("ni,ij,nj->n", kept, torch.randn(6, 6, generator=torch.Generator().manual_seed(0)), kept)
    coalitions, weights = _exact(6)
    exact = torch.cat([scores_of(coalitions, table), table[-1:]]) @ weights
    errors = {"pairs": 0.0, "drawn": 0.0}
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        drawn = [torch.randperm(6, generator=generator) for _ in range(4)]
        for name, orders in (("pairs", _orders(6, 4, generator)), ("drawn", drawn)):
            coalitions, weights = _sampled(orders)
            values = torch.cat([scores_of(coalitions, table), table[-1:]]) @ weights
            errors[name] += (values - exact).square().sum().item()
    assert errors["pairs"] < 0.5 * errors["drawn"]
    assert errors["drawn"] > 1


def test_every_second_permutation_is_the_reverse_of_the_one_before() -> None:
    first, second, third = _orders(7, 3, torch.Generator().manual_seed(0))
    assert torch.equal(first.flip(0), second)
    assert not torch.equal(third, first)


def test_costs_a_pass_for_each_further_segment_of_a_permutation_and_the_fill() -> None:
    trace = Trace(toy_classifier(), toy_batch())
    shapleysampling(trace, samples=3, **GRID)
    assert trace.classifier.passes.forward == 4 * (2 + 3 * 8)
