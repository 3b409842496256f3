"""Up-sampling and normalisation of maps: range, differentiability, constant maps, and one image at a time."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from camdbench.functional.normalise import is_constant, normalise, upsample

VALUES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=12, max_size=12)


@given(VALUES, st.sampled_from(["range", "max", "sigmoid"]))
def test_every_normalisation_gives_a_mask(values: list[float], how: str) -> None:
    mask = normalise(torch.tensor(values).reshape(1, 3, 4), how)
    assert mask.isfinite().all()
    assert mask.min() >= 0
    assert mask.max() <= 1 + 1e-6


@given(VALUES)
def test_range_takes_the_least_to_zero_and_the_greatest_to_one(values: list[float]) -> None:
    maps = torch.tensor(values).reshape(1, 3, 4)
    mask = normalise(maps, "range")
    if is_constant(maps).item():
        assert not mask.any()
    else:
        assert mask.flatten()[maps.argmin()] == 0
        assert mask.flatten()[maps.argmax()] == 1


@given(VALUES, st.floats(0.1, 10), st.floats(-10, 10))
def test_range_does_not_see_scale_and_offset(values: list[float], scale: float, offset: float) -> None:
    maps = torch.tensor(values, dtype=torch.float64).reshape(1, 3, 4)
    if (maps.max() - maps.min()) > 1e-3:
        torch.testing.assert_close(normalise(scale * maps + offset, "range"), normalise(maps, "range"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("how", ["range", "max", "sigmoid", "none"])
def test_each_map_is_normalised_on_its_own(how: str) -> None:
    maps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    assert torch.equal(normalise(maps, how), torch.cat([normalise(maps[index : index + 1], how) for index in range(3)]))


def test_max_drops_negative_values_and_a_map_without_positive_ones_is_empty() -> None:
    assert normalise(torch.tensor([[[-2.0, 1.0, 4.0]]]), "max").tolist() == [[[0, 0.25, 1]]]
    assert normalise(torch.tensor([[[-2.0, -1.0, 0.0]]]), "max").tolist() == [[[0, 0, 0]]]


def test_max_of_a_constant_positive_map_is_all_of_the_image() -> None:
    assert normalise(torch.full((1, 2, 2), 3.0), "max").eq(1).all()


@each("value", [0.0, 5.0, -3e-20])
@each("how", ["range", "max", "sigmoid"])
def test_the_gradient_of_a_constant_map_is_finite(how: str, value: float) -> None:
    maps = torch.full((1, 3, 3), value, requires_grad=True)
    (gradient,) = torch.autograd.grad(normalise(maps, how).square().sum(), maps)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("how", ["range", "max", "sigmoid"])
def test_gradients_are_those_of_finite_differences(how: str) -> None:
    maps = torch.rand(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: normalise(x, how), (maps,))


def test_rounding_left_by_up_sampling_is_not_stretched_to_the_full_range() -> None:
    maps = upsample(torch.full((1, 7, 7), 0.1), (224, 224))
    assert is_constant(maps).item()
    assert not normalise(maps, "range").any()


def test_a_small_but_real_contrast_is_kept() -> None:
    maps = torch.tensor([[[1.0, 1.0001]]])
    assert not is_constant(maps).item()
    assert normalise(maps, "range").tolist() == [[[0, 1]]]


def test_upsample_is_bilinear_with_corners_not_aligned() -> None:
    assert upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4)).tolist() == [[[0, 0.25, 0.75, 1]]]


def test_upsample_to_the_same_size_is_the_map_itself() -> None:
    maps: Tensor = torch.rand(1, 4, 5)
    assert upsample(maps, (4, 5)) is maps
