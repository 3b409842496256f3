"""Likeness of maps and masks: the formulas, and nothing that blows up where there is nothing to compare."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from camdbench.functional.soft_overlap import cosine, energy_fractions, energy_inside, soft_iou, unit


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 5, generator=random, dtype=torch.float64), (torch.rand(3, 4, 5, generator=random) < 0.5).double()


def test_cosine_is_torchs_whatever_the_scale(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    maps, masks = pair
    torch.testing.assert_close(cosine(maps, masks), F.cosine_similarity(maps.flatten(1), masks.flatten(1)))
    torch.testing.assert_close(cosine(1e-30 * maps.float(), masks.float()), cosine(maps, masks).float())
    torch.testing.assert_close(cosine(masks, masks), torch.ones(3).double())


def test_share_and_overlap_are_the_literal_formulas(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    maps, masks = pair
    inside = (maps.relu() * masks).sum((1, 2)) / maps.relu().sum((1, 2))
    torch.testing.assert_close(energy_inside(maps, masks.bool()), inside)
    fractions = energy_fractions(torch.cat([maps, -maps.abs()[:1]]))
    torch.testing.assert_close(fractions[:3], (maps.relu() / maps.relu().sum((1, 2), keepdim=True)).flatten(1))
    assert not fractions[3].any()
    scaled = maps.sigmoid()
    cut = scaled > 0.5
    iou = (cut & masks.bool()).sum((1, 2)) / (cut | masks.bool()).sum((1, 2))
    torch.testing.assert_close(soft_iou(scaled, masks.bool(), 0.5, 1e6).float(), iou)


def test_what_is_dead_or_empty_counts_nothing_and_has_no_gradient() -> None:
    for function in (cosine, energy_inside):
        maps = torch.zeros(2, 3, 3, requires_grad=True)
        found = function(maps, torch.ones(2, 3, 3))
        assert found.tolist() == [0, 0]
        assert not torch.autograd.grad(found.sum(), maps)[0].any()
        alive = torch.ones(2, 3, 3, requires_grad=True)
        assert function(alive, torch.zeros(2, 3, 3)).tolist() == [0, 0]
        assert torch.autograd.grad(function(alive, torch.zeros(2, 3, 3)).sum(), alive)[0].isfinite().all()
    assert unit(torch.zeros(1, 4)).tolist() == energy_fractions(torch.zeros(1, 4)).tolist() == [[0.0] * 4]


def test_gradients_are_right(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    maps, masks = pair
    for function in (lambda m: cosine(m, masks), lambda m: energy_inside(m, masks), lambda m: soft_iou(m, masks, 0.5, 3.0), unit):
        assert torch.autograd.gradcheck(function, maps.clone().requires_grad_())
    torch.testing.assert_close(unit(maps), F.normalize(maps.flatten(1)))
