"""Rules of layer-wise relevance propagation for one linear map: linear layer, convolution, or a function of one tensor.

With contributions z_ij = x_i w_ij and s(v) = v + epsilon sign(v), a rule splits the relevance R_j of each output among the inputs.
Relevance that a bias contributes is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STABILISER = 1e-6  # of all rules but epsilon

Apply = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # input, weight, bias -> output


@dataclass(frozen=True)
class LinearMap:
    """y = apply(x, weight, bias), linear in x and in the weight.

    Attributes:
        apply: function of input, weight and bias.
        weight: weight, with a folded batch norm if there is one.
        bias: bias (C,), or None.
    """

    apply: Apply
    weight: Tensor
    bias: Tensor | None


Term = tuple[Tensor, Tensor, Tensor | None]  # input, weight and bias of one part of a sum
LinearRule = Callable[[LinearMap, Tensor, Tensor], Tensor]  # map, input, relevance of the output -> relevance of the input


def stabilised(values: Tensor, epsilon: float = STABILISER) -> Tensor:
    """Denominators v + epsilon sign(v), with sign(0) = 1."""
    return values + torch.where(values < 0, -epsilon, epsilon)


def epsilon_rule(epsilon: float) -> LinearRule:
    r"""Epsilon rule (Bach et al. 2015, eq. 58): :math:`R_i = \sum_j z_{ij} / s(\sum_i z_{ij} + b_j) R_j`."""

    def rule(layer: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
        return _share(layer.apply, [(inputs, layer.weight, layer.bias)], relevance, epsilon)

    return rule


def alpha_beta_rule(alpha: float, beta: float) -> LinearRule:
    r"""Alpha-beta rule (Bach et al. 2015, eq. 60): :math:`\sum_j (\alpha z^+_{ij} / s(z^+_j) - \beta z^-_{ij} / s(z^-_j)) R_j`.

    z-plus is alpha = 1 and beta = 0. The sums hold the positive or negative part of the bias. Where all contributions to an output have
    one sign, one term is missing, so relevance is not conserved.
    """

    def rule(layer: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
        raised, lowered = _by_sign(layer.weight)
        found = alpha * _share(layer.apply, _signed(inputs, raised, lowered, _positive(layer.bias)), relevance)
        if beta:
            found = found - beta * _share(layer.apply, _signed(inputs, lowered, raised, _negative(layer.bias)), relevance)
        return found

    return rule


def gamma_rule(gamma: float) -> LinearRule:
    r"""Gamma rule (Montavon et al. 2019, section 10.2.1; inputs of both signs: Andéol et al. 2021, arXiv:2108.03389).

    Contributions of the sign of the output count :math:`1 + \gamma` times: positive ones for positive outputs, negative ones for negative
    outputs.
    """

    def rule(layer: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
        own = layer.apply(inputs, layer.weight, layer.bias)
        of_positive, of_negative = gamma_terms(layer, inputs, gamma)
        return _share(layer.apply, of_positive, relevance * (own > 0)) + _share(layer.apply, of_negative, relevance * (own < 0))

    return rule


def gamma_terms(layer: LinearMap, inputs: Tensor, gamma: float) -> tuple[list[Term], list[Term]]:
    """Terms of the gamma rule for positive and for negative outputs: positive and negative inputs, each with its weight."""
    raised, lowered = (layer.weight + gamma * part for part in _by_sign(layer.weight))
    up, down = (
        None if part is None or layer.bias is None else layer.bias + gamma * part for part in (_positive(layer.bias), _negative(layer.bias))
    )
    plus, minus = inputs.clamp_min(0), inputs.clamp_max(0)
    return [(plus, raised, up), (minus, lowered, None)], [(plus, lowered, down), (minus, raised, None)]


def flat_rule(layer: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
    """Flat rule (Lapuschkin et al. 2019, supplement): equal shares for all inputs of an output."""
    ones = torch.ones_like(inputs)
    return _share(layer.apply, [(ones, torch.ones_like(layer.weight), None)], relevance)


def box_rule(low: Tensor, high: Tensor) -> LinearRule:
    r"""Rule for inputs between `low` and `high` (Montavon et al. 2017, section 4.2), which broadcast to the input.

    .. math:: R_i = \sum_j (x_i w_{ij} - l_i w^+_{ij} - h_i w^-_{ij}) / s(\sum_i \dots) R_j
    """

    def rule(layer: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
        raised, lowered = _by_sign(layer.weight)
        minimum, maximum = (-end.to(inputs).expand_as(inputs) for end in (low, high))
        return _share(layer.apply, [(inputs, layer.weight, None), (minimum, raised, None), (maximum, lowered, None)], relevance)

    return rule


def proportional(function: Callable[[Tensor], Tensor], inputs: Tensor, relevance: Tensor) -> Tensor:
    """Shares in proportion to the terms of a linear function without weights, such as average pooling."""

    def apply(values: Tensor, *unused: Tensor | None) -> Tensor:
        del unused
        return function(values)

    return _share(apply, [(inputs, inputs, None)], relevance)


def _share(apply: Apply, terms: Sequence[Term], relevance: Tensor, epsilon: float = STABILISER) -> Tensor:
    """Relevance of the inputs in proportion to the contributions of all terms."""
    with torch.enable_grad():
        leaves = [inputs.detach().requires_grad_() for inputs, _, _ in terms]
        total = _sum([apply(leaf, weight, bias) for leaf, (_, weight, bias) in zip(leaves, terms, strict=True)])
        back = torch.autograd.grad(total, leaves, relevance / stabilised(total.detach(), epsilon))
    return _sum([inputs * own for (inputs, _, _), own in zip(terms, back, strict=True)])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """Sum of tensors, first to last."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _signed(inputs: Tensor, of_positive: Tensor, of_negative: Tensor, bias: Tensor | None) -> list[Term]:
    """Positive inputs with one weight, and negative ones, if there are any, with the other."""
    terms: list[Term] = [(inputs.clamp_min(0), of_positive, bias)]
    return [*terms, (inputs.clamp_max(0), of_negative, None)] if bool((inputs < 0).any()) else terms


def _by_sign(weight: Tensor) -> tuple[Tensor, Tensor]:
    return weight.clamp_min(0), weight.clamp_max(0)


def _positive(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.clamp_min(0)


def _negative(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.clamp_max(0)
