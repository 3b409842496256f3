"""Complexity of maps: which map is looked at, golden values, Quantus where it is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.metric_inputs import measure
from helpers.quantus_library import quantus
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.explainers.common.saliency import finish
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.inputs import MetricInputs

PLACES = SIZE[0] * SIZE[1]


def of_maps(raw: Tensor) -> MetricInputs:
    batch = toy_batch(len(raw))
    return MetricInputs(toy_classifier(), batch.images, batch.labels, finish(raw, SIZE, "range").maps, raw=raw)


def raw_maps() -> Tensor:
    return torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(0)) ** 3


@each(
    ("spec", "uniform", "single"),
    [
        ("sparseness", 0, 1 - 1 / PLACES),
        ("entropy", math.log(PLACES), 0),
        ("entropy(normalised=True)", 1, 0),
        ("effective_complexity", PLACES, 1),
        ("effective_complexity(normalised=True)", 1, 1 / PLACES),
    ],
)
def test_uniform_and_one_hot_maps(spec: str, uniform: float, single: float) -> None:
    raw = torch.zeros(2, *SIZE)
    raw[0], raw[1, 3, 4] = -2.5, 7
    found = measure(of_maps(raw), spec)
    assert found.values.tolist() == pytest.approx([uniform, single], abs=1e-9)
    assert not found.undefined.any()


def test_quantus_gives_the_same_for_one_image_at_a_time() -> None:
    raw = raw_maps()
    shown = upsample(raw, SIZE).unsqueeze(1).double().numpy()
    ours = [measure(of_maps(raw), spec).values.tolist() for spec in ("sparseness", "entropy", "effective_complexity")]
    for index in range(3):
        given = {"model": None, "x_batch": np.zeros((1, 3, *SIZE)), "y_batch": np.zeros(1, int), "channel_first": True}
        fixed = {"abs": True, "normalise": False, "disable_warnings": True}
        item = shown[index : index + 1]
        assert ours[0][index] == pytest.approx(quantus.Sparseness(**fixed)(a_batch=item.copy(), **given)[0], abs=1e-5)
        assert ours[1][index] == pytest.approx(quantus.Complexity(**fixed)(a_batch=item.copy(), **given)[0], abs=1e-5)
        item = item / abs(item).max()
        assert ours[2][index] == quantus.EffectiveComplexity(**fixed)(a_batch=item.copy(), **given)[0]


def test_protocols_look_at_the_image_the_layer_or_the_mask() -> None:
    raw = raw_maps()
    inputs = of_maps(raw)
    looked_at = {"image": upsample(raw, SIZE).abs(), "layer": raw.abs(), "mask": inputs.saliency}
    for protocol, maps in looked_at.items():
        values = measure(inputs, f"entropy(protocol={protocol})").values
        shares = maps.double() / maps.double().sum((1, 2), keepdim=True)
        torch.testing.assert_close(values, -torch.xlogy(shares, shares).sum((1, 2)))
    assert len({round(measure(inputs, f"sparseness(protocol={name})").values[0].item(), 6) for name in looked_at}) == 3


def test_a_place_counts_above_the_threshold() -> None:
    raw = torch.zeros(1, *SIZE)
    raw[0, 0, :4] = torch.tensor([1.0, -0.5, 0.2, 0.1])
    inputs = of_maps(raw)
    assert measure(inputs, "effective_complexity(threshold=0.15)").values.item() == 3
    assert measure(inputs, "effective_complexity").values.item() == 4


@pytest.mark.parametrize("spec", ["sparseness", "entropy", "effective_complexity", "entropy(protocol=mask, normalised=True)"])
def test_a_map_of_zeros_is_undefined_and_no_other(spec: str) -> None:
    raw = raw_maps()
    raw[1] = 0
    found = measure(of_maps(raw), spec)
    assert found.undefined.tolist() == [False, True, False]
    assert found.values.isnan().tolist() == [False, True, False]


def test_a_map_that_is_not_finite_is_no_undefined_one() -> None:
    raw = raw_maps()
    raw[2, 0, 0] = torch.nan
    found = measure(of_maps(raw), "entropy")
    assert found.values.isnan().tolist() == [False, False, True]
    assert not found.undefined.any()


def test_a_single_place_has_no_normalised_entropy() -> None:
    found = measure(of_maps(torch.ones(1, 1, 1)), "entropy(protocol=layer, normalised=True)")
    assert found.undefined.tolist() == [True]
    assert measure(of_maps(torch.ones(1, 1, 1)), "entropy(protocol=layer)").values.tolist() == [0]


def test_maps_of_others_are_taken_as_they_are() -> None:
    batch = toy_batch(1)
    maps = torch.rand(1, *SIZE)
    inputs = MetricInputs(toy_classifier(), batch.images, batch.labels, maps)
    found = {measure(inputs, f"sparseness(protocol={name})").values.item() for name in ("image", "layer", "mask")}
    assert len(found) == 1
