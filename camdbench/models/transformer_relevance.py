"""LRP for vision transformers as changed gradients: with these rules, relevance is the inputs times the gradient, at any place.

Layer norms keep their standard deviation fixed, an activation function f has the slope f(u) / u, and linear layers and convolutions follow
the gamma rule. Attention probabilities are fixed (CP), or both products of the attention pass half of the gradient (AttnLRP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from camdbench.models.backward_rules import BackwardRules, Rule
from camdbench.models.relevance_rules import LinearMap, gamma_terms

_THROUGH_ZERO = ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "tanh", "hardtanh", "hardswish")
OPERATIONS = frozenset({"_GammaLayer", "_HalvedProduct", "Softmax"})  # names of nodes that have a rule and are not affine

Attention = Literal["fixed", "halved"]


class TransformerRelevance(BackwardRules):
    """Inside the context, gradients are those whose product with the inputs is relevance.

    Args:
        attention: `fixed` treats attention probabilities as constants, `halved` halves the gradient of both products.
        gamma_convolution: gamma of convolutions; 0 is the epsilon rule with epsilon 0, which is the plain gradient.
        gamma_linear: gamma of linear layers.
    """

    def __init__(self, attention: Attention, gamma_convolution: float, gamma_linear: float) -> None:
        rules: dict[str, Rule] = {"layer_norm": _layer_norm, "rms_norm": _rms_norm} | dict.fromkeys(_THROUGH_ZERO, _ratio)
        if gamma_convolution:
            rules["conv2d"] = _gamma(gamma_convolution)
        if gamma_linear:
            rules["linear"] = _gamma(gamma_linear)
        if attention == "fixed":
            rules["softmax"] = _fixed
        else:
            rules |= dict.fromkeys(("matmul", "__matmul", "bmm"), _halved)
        super().__init__(rules)


def _layer_norm(
    function: Rule, inputs: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, *args: Any, **more: Any
) -> Tensor:
    """Layer norm whose standard deviation is a constant (Ali et al. 2022, section 4.2)."""
    values = function(inputs.detach(), normalized_shape, weight, *args, **more)
    dims = tuple(range(-len(normalized_shape), 0))
    eps = float(args[1] if len(args) > 1 else more.get("eps", 1e-5))
    centred = inputs - inputs.mean(dims, keepdim=True)
    return _with_gradient_of(_scaled(centred, centred.detach().square().mean(dims, keepdim=True), eps, weight), values)


def _rms_norm(
    function: Rule, inputs: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """RMS norm whose root mean square is a constant."""
    values = function(inputs.detach(), normalized_shape, weight, eps)
    dims = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(inputs.dtype).eps if eps is None else eps
    return _with_gradient_of(_scaled(inputs, inputs.detach().square().mean(dims, keepdim=True), eps, weight), values)


def _scaled(values: Tensor, variance: Tensor, eps: float, weight: Tensor | None) -> Tensor:
    found = values * (variance + eps).rsqrt()
    return found if weight is None else found * weight


def _ratio(function: Rule, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Activation function f whose gradient is f(u) / u, and 0 where u = 0."""
    values = function(inputs.detach().clone(), *args, **kwargs)  # which may be in place
    slope = torch.where(inputs == 0, 0, values / torch.where(inputs == 0, 1, inputs)).detach()
    return _with_gradient_of(inputs * slope, values)


def _with_gradient_of(linear: Tensor, values: Tensor) -> Tensor:
    """The values, with the gradient of a tensor that equals them but for summands and rounding."""
    return linear + (values - linear).detach()


def _fixed(function: Rule, *args: Any, **kwargs: Any) -> Tensor:
    return function(*args, **kwargs).detach()


def _halved(function: Rule, inputs: Tensor, other: Tensor) -> Tensor:
    both = inputs.requires_grad and other.requires_grad
    return cast("Tensor", _HalvedProduct.apply(inputs, other)) if both else function(inputs, other)


class _HalvedProduct(torch.autograd.Function):
    """Matrix product (..., n, k) @ (..., k, m) that passes half of the gradient to each factor (Achtibat et al. 2024, eq. 16)."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, second)
        return first @ second

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        first, second = ctx.saved_tensors
        half = grad_outputs[0] / 2
        return (half @ second.mT).sum_to_size(first.shape), (first.mT @ half).sum_to_size(second.shape)


def _gamma(gamma: float) -> Rule:
    def rule(function: Rule, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if not inputs.requires_grad:
            return function(inputs, weight, bias, *args, **kwargs)
        layer = LinearMap(lambda values, own, shift: function(values, own, shift, *args, **kwargs), weight, bias)
        return cast("Tensor", _GammaLayer.apply(inputs, layer, gamma))

    return rule


class _GammaLayer(torch.autograd.Function):
    """Linear layer or convolution with the gradient g whose product with the inputs is the relevance of the gamma rule."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: LinearMap, gamma: float) -> Tensor:
        outputs = layer.apply(inputs, layer.weight, layer.bias)
        ctx.layer, ctx.gamma = layer, gamma
        ctx.save_for_backward(inputs, outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        inputs, outputs = ctx.saved_tensors
        found = torch.zeros_like(inputs)
        for of_sign, terms in zip((outputs > 0, outputs < 0), gamma_terms(ctx.layer, inputs, ctx.gamma), strict=True):
            with torch.enable_grad():
                leaves = [own.detach().requires_grad_() for own, _, _ in terms]
                parts = [ctx.layer.apply(leaf, weight, bias) for leaf, (_, weight, bias) in zip(leaves, terms, strict=True)]
                total = parts[0] + parts[1]
                relevance = grad_outputs[0] * outputs / torch.where(of_sign, total.detach(), 1)
                back = torch.autograd.grad(total, leaves, torch.where(of_sign, relevance, 0))
            found = found + torch.where(inputs > 0, back[0], back[1])
        return found, None, None
