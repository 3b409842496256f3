"""Ranks, overlap and density on masks: Quantus, scikit-learn, and Hard ImageNet's code read literally."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.localisation import inputs_of, measure, random_maps
from helpers.quantus_library import quantus
from helpers.toys import SIZE
from torch import Tensor

MASKS = torch.rand(6, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.2


def hard_imagenet(values: Tensor, mask: Tensor) -> tuple[float, float]:
    """IoU and density difference of one map, as the released script computes them, in per cent."""
    cam, truth = values.double().numpy(), mask.numpy().astype(float)
    binary = np.where(cam >= 0.5, 1.0, 0.0)
    intersection, union = ((binary * truth) > 0).sum(), ((binary + truth) > 0).sum()
    density = (cam * truth).sum() / truth.sum() - (cam * (1 - truth)).sum() / (1 - truth).sum()
    return 100 * (intersection + 1e-10) / (union + 1e-10), 100 * density


def test_iou_and_density_are_hard_imagenets() -> None:
    maps = random_maps()
    iou, density = zip(*(hard_imagenet(values, mask) for values, mask in zip(maps, MASKS, strict=True)), strict=True)
    given = inputs_of(maps, masks=MASKS)
    assert measure("iou(protocol='hardimagenet')", given).values.tolist() == pytest.approx(list(iou), rel=1e-12)
    assert measure("saliency_density(protocol='hardimagenet')", given).values.tolist() == pytest.approx(list(density), rel=1e-6)
    assert measure("iou", given).values.tolist() == pytest.approx(list(iou), abs=1e-6)


def test_the_threshold_belongs_to_what_lies_above_it() -> None:
    maps = torch.zeros(1, *SIZE)
    maps[0, :4], maps[0, 4:8] = 0.5, 0.25
    masks = maps >= 0.5
    assert measure("iou", inputs_of(maps, masks=masks)).values.item() == 100
    assert measure("iou(threshold=0.25)", inputs_of(maps, masks=masks)).values.item() == 50
    assert measure("iou(threshold=0.51)", inputs_of(maps, masks=masks)).values.item() == 0


def test_dead_maps_are_scored_by_hard_imagenet_only() -> None:
    given = inputs_of(torch.zeros(1, *SIZE), masks=MASKS[:1])
    for name in ("iou", "saliency_density", "relevance_rank"):
        assert measure(name, given).undefined.tolist() == [True]
    assert measure("iou(protocol='hardimagenet')", given).values.item() == pytest.approx(hard_imagenet(torch.zeros(SIZE), MASKS[0])[0])
    assert measure("saliency_density(protocol='hardimagenet')", given).values.item() == 0


@each("spec", ["iou", "iou(protocol='hardimagenet')", "saliency_density", "relevance_rank", "relevance_mass"])
def test_an_empty_mask_has_no_value(spec: str) -> None:
    masks = MASKS[:2].clone()
    masks[0] = False
    assert measure(spec, inputs_of(random_maps(2), masks=masks)).undefined.tolist() == [True, False]


def test_a_mask_of_everything_has_no_density_but_an_overlap() -> None:
    given = inputs_of(random_maps(1), masks=torch.ones(1, *SIZE, dtype=torch.bool))
    assert measure("saliency_density", given).undefined.tolist() == [True]
    assert measure("iou", given).values.item() == pytest.approx(100 * (random_maps(1) >= 0.5).double().mean().item())


@pytest.mark.parametrize("maps", ["default", "relu", "abs"])
def test_relevance_rank_is_that_of_quantus_where_nothing_ties(maps: str) -> None:
    raw = torch.randn(6, *SIZE, generator=torch.Generator().manual_seed(3))
    noise = torch.rand(6, *SIZE, generator=torch.Generator().manual_seed(4))
    seen = {"default": noise, "relu": raw.relu(), "abs": raw.abs()}[maps]
    theirs = quantus.RelevanceRankAccuracy(disable_warnings=True).evaluate_batch(seen.double().numpy(), MASKS.numpy())
    found = measure(f"relevance_rank(maps='{maps}')", inputs_of(noise, raw=raw, masks=MASKS)).values
    np.testing.assert_allclose(found.numpy(), 100 * theirs, rtol=1e-12)


def test_a_constant_map_ranks_the_area() -> None:
    found = measure("relevance_rank", inputs_of(torch.ones(6, *SIZE), masks=MASKS)).values
    assert found.tolist() == pytest.approx((100 * MASKS.double().mean((1, 2))).tolist())
    first = measure("relevance_rank(ties='first')", inputs_of(torch.ones(6, *SIZE), masks=MASKS)).values
    expected = [100 * mask.flatten()[: int(mask.sum())].double().mean().item() for mask in MASKS]
    assert first.tolist() == pytest.approx(expected)


def test_the_mask_itself_is_perfect_and_noise_is_not() -> None:
    best, noise = inputs_of(MASKS.float(), masks=MASKS), inputs_of(random_maps(cells=SIZE), masks=MASKS)
    for name in ("iou", "saliency_density", "relevance_rank"):
        assert measure(name, best).values.tolist() == pytest.approx([100] * 6)
        assert measure(name, noise).values.mean() < 40
