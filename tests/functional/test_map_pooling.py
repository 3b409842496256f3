"""Pooling: between mean and maximum, blind to the scale of maps, stable, with a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from camdbench.functional.map_pooling import Pooling, pool

HOW: list[Pooling] = ["softmax", "max", "logsumexp", "mean"]


@pytest.fixture
def maps() -> Tensor:
    return torch.rand(8, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("how", HOW)
def test_it_is_the_literal_formula(maps: Tensor, how: Pooling) -> None:
    found = pool(maps, how, 0.3)
    for image in range(2):
        scale = 0.3 * max(maps[:, image].flatten().tolist())
        for place in range(9):
            values = maps[:, image].flatten(1)[:, place].tolist()
            powers = [math.exp(value / scale) for value in values]
            expected = {
                "max": max(values),
                "mean": sum(values) / 8,
                "softmax": sum(power * value for power, value in zip(powers, values, strict=True)) / sum(powers),
                "logsumexp": scale * math.log(sum(powers) / 8),
            }[how]
            assert float(found[image].flatten()[place]) == pytest.approx(expected)


@pytest.mark.parametrize("how", ["softmax", "logsumexp"])
def test_it_lies_between_mean_and_maximum_however_small_maps_are(maps: Tensor, how: Pooling) -> None:
    cold, warm = (pool(1e-8 * maps, how, temperature) for temperature in (0.001, 0.1))
    torch.testing.assert_close(cold, 1e-8 * maps.amax(0), rtol=0.02, atol=0)
    assert bool((warm > 1e-8 * maps.mean(0)).all())
    assert bool((warm < 1e-8 * maps.amax(0)).all())
    assert torch.equal(pool(4 * maps, how, 0.1), 4 * pool(maps, how, 0.1))


@pytest.mark.parametrize("how", HOW)
def test_large_and_dead_maps_stay_finite_with_their_gradients(how: Pooling) -> None:
    maps = torch.stack([torch.full((4, 2, 2), 1e3), torch.zeros(4, 2, 2)], 1).requires_grad_()
    found = pool(maps, how, 0.1)
    torch.testing.assert_close(found[0], torch.full((2, 2), 1e3))
    assert not found[1].any()
    assert torch.autograd.grad(found.sum(), maps)[0].isfinite().all()


@pytest.mark.parametrize("how", ["softmax", "logsumexp", "mean"])
def test_its_gradient_is_right_but_for_the_scale_that_is_a_constant(maps: Tensor, how: Pooling) -> None:
    pinned = maps.clone()
    pinned[0, :, 0, 0] = 2.0  # the maximum, which is not moved

    def pooled(rest: Tensor) -> Tensor:
        return pool(torch.cat([pinned[:1], rest]), how, 0.2)

    assert torch.autograd.gradcheck(pooled, pinned[1:].clone().requires_grad_())
