"""Normalisation and input size as stated of a network."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from torch import nn
from torchvision.models import VisionTransformer

from camdbench.core.errors import UsageError
from camdbench.models.network_facts import check_input_size, per_channel


@pytest.mark.parametrize("value", [[123.7, 116.3, 103.5], 127.5, [0.5, 0.5, 2.0], [-118.0, 0.0, 0.0]])
def test_a_scale_of_255_is_refused_with_the_numbers_to_state(value: float | list[float]) -> None:
    first = value if isinstance(value, float) else value[0]
    with pytest.raises(UsageError, match=f"divide by 255: {first / 255:.3f}"):
        per_channel(value, "mean")


@each("value", [[0.5, 0.5], [0.5] * 4, float("nan"), [0.1, float("inf"), 0.2], []])
def test_other_counts_and_values_are_refused(value: float | list[float]) -> None:
    with pytest.raises(UsageError, match=r"std=.*: expected one number or three"):
        per_channel(value, "std")


def test_each_channel_has_its_number() -> None:
    assert torch.equal(per_channel((0.485, 0.456, 0.406), "mean")[0, :, 0, 0], torch.tensor([0.485, 0.456, 0.406]))


def test_a_transformer_states_its_size_and_other_networks_none() -> None:
    transformer = VisionTransformer(image_size=32, patch_size=16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert check_input_size(transformer, None) == check_input_size(transformer, 32) == 32
    with pytest.raises(UsageError, match="input_size = 48: VisionTransformer takes images of 32 x 32 pixels; omit input_size"):
        check_input_size(transformer, 48)
    assert check_input_size(nn.Linear(1, 1), None) == 224
    assert check_input_size(nn.Linear(1, 1), 48) == 48
