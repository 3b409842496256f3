"""From the raw map to the mask, in one place, with a state that says when a map says nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from helpers.each import each
from helpers.toys import maps_of, toy_batch, toy_classifier
from torch import nn

from camdbench.core.registries import explainers
from camdbench.explainers.common.saliency import finish, normalisation_of


def test_each_map_gets_its_own_state() -> None:
    raw = torch.tensor([[[0.0, 1.0]], [[2.0, 2.0]], [[torch.nan, 1.0]], [[torch.inf, 1.0]]])
    found = finish(raw, (2, 4), "range")
    assert found.status == ("ok", "constant_map", "error", "error")
    assert [bool(reason) for reason in found.reasons] == [False, True, True, True]
    assert found.maps.isfinite().all()
    assert found.maps[1:].eq(0).all()
    assert found.maps.shape == (4, 2, 4)


@each("constant", [False, True])
@each("scale", [1e-44, 1e-30, 1.0, 3e38])
def test_maps_are_the_formula_to_the_bit_whatever_else_is_in_the_batch(constant: bool, scale: float) -> None:
    raw = scale * torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    given, alone = raw.clone(), finish(raw, (10, 8), "range")
    together = finish(torch.cat([raw, torch.full((1, 5, 4), scale)]) if constant else raw, (10, 8), "range")
    large = F.interpolate(raw[:, None], size=(10, 8), mode="bilinear", align_corners=False)[:, 0]
    for own, map_, found, beside in zip(raw, large, alone.maps, together.maps, strict=False):
        low, span = map_.min(), map_.max() - map_.min()
        flat = span <= 8 * torch.finfo(torch.float32).eps * map_.abs().max()
        expected = torch.zeros_like(map_) if flat else (map_ - low) / span
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(beside, expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(finish(own[None], (5, 4), "range").raw[0], own)
    assert alone.status == together.status[:3] == ("ok",) * 3
    assert torch.equal(raw, given)


def test_the_raw_map_is_kept_as_it_came() -> None:
    raw = torch.tensor([[[-3.0, torch.nan]]])
    assert finish(raw, (4, 4), "range").raw is raw


@each("value", [0.0, 1.0, -7.5, 1e-30, 1e30])
def test_a_constant_map_stays_flat_after_up_sampling_whatever_its_value(value: float) -> None:
    found = finish(torch.full((1, 7, 7), value), (224, 224), "range")
    assert found.status == ("constant_map",)
    assert torch.equal(found.maps, torch.zeros(1, 224, 224))


def test_a_mask_that_is_constant_on_purpose_is_no_failure() -> None:
    found = finish(torch.ones(1, 4, 4), (4, 4), "none")
    assert found.status == ("ok",)
    assert found.maps.eq(1).all()


def test_the_normalisation_is_the_option_where_there_is_one_and_the_fact_otherwise() -> None:
    assert normalisation_of(explainers.parse_one('opticam(normalisation="sigmoid")')) == "sigmoid"
    assert normalisation_of(explainers.parse_one("opticam")) == "range"
    assert normalisation_of(explainers.parse_one("gtbox")) == "none"


def test_a_network_that_gives_nan_is_an_error_of_each_map() -> None:
    classifier = toy_classifier()
    nn.init.constant_(classifier.network.conv2.weight, torch.nan)
    for spec in ("gradcam", "hirescam", "opticam(iterations=3)", "opticam(iterations=3, best=True)"):
        found = maps_of(classifier, toy_batch(2), spec)
        assert found.status == ("error", "error"), spec
        assert found.maps.isfinite().all()


def test_maps_of_half_precision_are_finished_in_single_precision() -> None:
    found = finish(torch.tensor([[[0.0, 1.0]]], dtype=torch.bfloat16), (1, 5), "range")
    assert found.maps.dtype == torch.float32


def test_a_map_without_a_positive_value_is_flagged_where_only_those_count() -> None:
    found = finish(torch.tensor([[[-1.0, -2.0]], [[-1.0, 2.0]]]), (1, 2), "max")
    assert found.status == ("constant_map", "ok")
    assert not found.maps[0].any()
