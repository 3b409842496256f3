"""Changed gradients for transformers: input times gradient is relevance by slow readings of the rules, and values stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.models.relevance_rules import LinearMap, gamma_rule
from camdbench.models.transformer_relevance import TransformerRelevance

pytestmark = pytest.mark.usefixtures("float64")


def gradient(function: Callable[[Tensor], Tensor], inputs: Tensor, start: Tensor, gamma: float = 0, kind: str = "fixed") -> Tensor:
    leaf = inputs.clone().requires_grad_()
    with TransformerRelevance(kind, gamma, gamma):
        output = function(leaf)
    torch.testing.assert_close(output.detach(), function(inputs), rtol=1e-12, atol=1e-12)
    return torch.autograd.grad(output, leaf, start)[0]


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def start() -> Tensor:
    return torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))


def test_a_layer_norm_keeps_its_standard_deviation(inputs: Tensor, start: Tensor) -> None:
    norm = nn.LayerNorm(6, eps=0.1).requires_grad_(False)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    scaled = start * norm.weight / (inputs.var(-1, correction=0, keepdim=True) + 0.1).sqrt()
    torch.testing.assert_close(gradient(norm, inputs, start), scaled - scaled.mean(-1, keepdim=True))
    expected = start / (inputs.square().mean(-1, keepdim=True) + 0.1).sqrt()
    torch.testing.assert_close(gradient(lambda x: F.rms_norm(x, (6,), eps=0.1), inputs, start), expected)


@pytest.mark.parametrize("function", [F.gelu, F.silu, F.relu, torch.tanh, nn.ReLU(inplace=True), nn.GELU("tanh")])
def test_an_activation_function_has_its_value_over_its_input_as_slope(
    function: Callable[[Tensor], Tensor], inputs: Tensor, start: Tensor
) -> None:
    plain = function(inputs.clone())
    found = gradient(lambda x: function(1 * x), inputs, start)
    torch.testing.assert_close(found * inputs, start * plain)
    zero = torch.zeros(1)
    assert gradient(lambda x: function(1 * x), zero, torch.ones(1)).tolist() == [0]


def test_attention_is_fixed_or_halved(inputs: Tensor, start: Tensor) -> None:
    torch.testing.assert_close(gradient(lambda x: x.softmax(-1) * x, inputs, start), start * inputs.softmax(-1))
    keys, score = torch.randn(2, 6, 3), start[..., :3]
    torch.testing.assert_close(gradient(lambda x: x @ keys, inputs, score, kind="halved"), score @ keys.mT)
    torch.testing.assert_close(gradient(lambda x: x @ x.mT, inputs, score, kind="halved"), (score + score.mT) / 2 @ inputs)


def test_the_gamma_rule_is_that_of_relevance(inputs: Tensor) -> None:
    torch.manual_seed(5)
    dense, kernel = nn.Linear(6, 4).requires_grad_(False), nn.Conv2d(3, 4, (1, 3)).requires_grad_(False)
    for layer, own, apply in ((dense, inputs, F.linear), (kernel, inputs[:, :, None], F.conv2d)):
        output = layer(own)
        start = torch.randn(output.shape)
        expected = gamma_rule(0.25)(LinearMap(apply, layer.weight, layer.bias), own, start * output)
        torch.testing.assert_close(own * gradient(layer, own, start, 0.25), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(gradient(layer, own, start, 1e-12), gradient(layer, own, start))
