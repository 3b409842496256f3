"""Rules of LRP against slow, literal readings of their equations: one input and one output at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.each import each
from torch import Tensor
from torch.nn import functional as F

from camdbench.models.relevance_rules import (
    STABILISER,
    LinearMap,
    LinearRule,
    alpha_beta_rule,
    box_rule,
    epsilon_rule,
    flat_rule,
    gamma_rule,
    proportional,
)

pytestmark = pytest.mark.usefixtures("float64")

LOW, HIGH = -1.5, 2.5


def split(
    weight: Tensor, bias: Tensor, inputs: Tensor, relevance: Tensor, share: Callable[[list[float], list[float], float], float]
) -> Tensor:
    """R_i = sum_j share_ij R_j, where `share` has all x, all w of an output, its bias, and the index i last."""
    found = torch.zeros_like(inputs)
    for j, received in enumerate(relevance.tolist()):
        x, w = inputs.tolist(), weight[j].tolist()
        for i in range(len(x)):
            found[i] += share([x[i], *x], [w[i], *w], float(bias[j])) * received
    return found


def over(top: float, below: float, epsilon: float = STABILISER) -> float:
    return top / (below + (epsilon if below >= 0 else -epsilon))


def epsilon(x: list[float], w: list[float], b: float) -> float:
    return over(x[0] * w[0], sum(a * c for a, c in zip(x[1:], w[1:], strict=True)) + b, 0.1)


def of_sign(sign: int) -> Callable[[list[float], list[float], float], float]:
    def share(x: list[float], w: list[float], b: float) -> float:
        z = [a * c if sign * a * c > 0 else 0 for a, c in zip(x, w, strict=True)]
        return over(z[0], sum(z[1:]) + (b if sign * b > 0 else 0))

    return share


def alpha2_beta1(x: list[float], w: list[float], b: float) -> float:
    return 2 * of_sign(1)(x, w, b) - of_sign(-1)(x, w, b)


def gamma(x: list[float], w: list[float], b: float) -> float:
    z = [a * c for a, c in zip(x, w, strict=True)]
    sign = 1 if sum(z[1:]) + b > 0 else -1
    z, b = [c * 1.25 if sign * c > 0 else c for c in z], b * 1.25 if sign * b > 0 else b
    return over(z[0], sum(z[1:]) + b)


def flat(x: list[float], w: list[float], b: float) -> float:
    del w, b
    return over(1, len(x) - 1)


def box(x: list[float], w: list[float], b: float) -> float:
    del b
    z = [a * c - LOW * max(c, 0) - HIGH * min(c, 0) for a, c in zip(x, w, strict=True)]
    return over(z[0], sum(z[1:]))


RULES: list[tuple[LinearRule, Callable[[list[float], list[float], float], float]]] = [
    (epsilon_rule(0.1), epsilon),
    (alpha_beta_rule(1, 0), of_sign(1)),
    (alpha_beta_rule(2, 1), alpha2_beta1),
    (gamma_rule(0.25), gamma),
    (flat_rule, flat),
    (box_rule(torch.tensor(LOW), torch.tensor(HIGH)), box),
]


@each(("rule", "share"), RULES, ids=["epsilon", "z-plus", "alpha2-beta1", "gamma", "flat", "box"])
@each("signs", ["both", "positive"])
def test_a_rule_splits_relevance_as_its_equation_says(rule: LinearRule, share: Callable[..., float], signs: str) -> None:
    weight, bias, inputs, relevance = (
        torch.randn(*size, generator=torch.Generator().manual_seed(3)) for size in ((4, 6), (4,), (2, 6), (2, 4))
    )
    inputs = inputs.abs() if signs == "positive" else inputs
    found = rule(LinearMap(F.linear, weight, bias), inputs, relevance)
    expected = [split(weight, bias, own, received, share) for own, received in zip(inputs, relevance, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected))
    kernel = LinearMap(F.conv2d, weight[:, :, None, None], bias)  # a convolution of one pixel
    torch.testing.assert_close(rule(kernel, inputs[:, :, None, None], relevance[:, :, None, None]).flatten(1), found)


@each(
    ("rule", "expected"),
    [
        (epsilon_rule(1e-6), [2, 2]),
        (alpha_beta_rule(1, 0), [2, 2]),
        (flat_rule, [2, 2]),
        (gamma_rule(0.25), [2, 2]),
        (alpha_beta_rule(2, 1), [8, 8]),
    ],
    ids=["epsilon", "z-plus", "flat", "gamma", "alpha2-beta1"],
)
def test_two_layers_by_hand(rule: LinearRule, expected: list[float]) -> None:
    """x = (1, 2), f = 4; the alpha-beta rule doubles relevance at each layer where nothing is negative."""
    inputs = torch.tensor([[1.0, 2.0]])
    first, second = torch.tensor([[1.0, -1.0], [2.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    hidden = F.linear(inputs, first).relu()
    logit = F.linear(hidden, second)
    assert logit.item() == 4
    back = rule(LinearMap(F.linear, first, None), inputs, rule(LinearMap(F.linear, second, None), hidden, logit))
    torch.testing.assert_close(back, torch.tensor([expected], dtype=torch.float64), rtol=1e-5, atol=0)


def test_average_pooling_shares_in_proportion_to_its_terms() -> None:
    found = proportional(lambda values: F.avg_pool1d(values, 2), torch.tensor([[1.0, 3.0, -1.0, 2.0]]), torch.tensor([[8.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.0, 6.0, -1.0, 2.0]]), rtol=1e-5, atol=0)
