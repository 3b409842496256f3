"""Objectives: values and gradients against the formulas written out, and checks of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.each import each
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.objective_names import parse_objective
from camdbench.functional.objectives import LOGIT, Objective, check_function, rivals_of


def named(text: str) -> Objective:
    return Objective(text, parse_objective(text))


def function(*functions: Callable[[Tensor], Any]) -> Objective:
    return Objective("mine", None, functions)


def value_and_gradient(objective: Objective, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    rivals = rivals_of(leaf, targets) if objective.follows_rival else None
    values = objective.values(leaf, targets, rivals)
    return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]


def test_the_golden_values_of_three_logits():
    logits, targets = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    gradient = value_and_gradient(named("probability"), logits, targets)[1]
    torch.testing.assert_close(gradient, torch.tensor([[0.222695, -0.162803, -0.059892]]).double(), rtol=0, atol=5e-7)
    value, gradient = value_and_gradient(named("log_odds"), logits, targets)
    assert value.item() == pytest.approx(0.686738, abs=5e-7)
    torch.testing.assert_close(gradient, torch.tensor([[1, -0.731059, -0.268941]]).double(), rtol=0, atol=5e-7)


def test_the_probability_vanishes_where_the_log_odds_do_not():
    logits, targets = torch.tensor([[30.0, 1.0, 0.0]]), torch.tensor([0])
    gradient = value_and_gradient(named("probability"), logits, targets)[1]
    assert gradient.abs().max() < 1e-12
    value, gradient = value_and_gradient(named("log_odds"), logits, targets)
    assert value.item() == pytest.approx(28.6867, abs=1e-3)
    assert gradient[0, 0] == 1


def test_values_and_gradients_are_those_of_the_formulas():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 4, 2, 2, 1, 3])
    unit, p = torch.eye(5).double()[targets], logits.softmax(1)
    own, p_own = (item.gather(1, targets[:, None])[:, 0] for item in (logits, p))
    others = torch.where(unit.bool(), 0, p)
    w = others / others.sum(1, keepdim=True)
    second = torch.tensor(
        [max((z, k) for k, z in enumerate(row) if k != y)[1] for row, y in zip(logits.tolist(), targets.tolist(), strict=True)]
    )
    picked = torch.eye(5).double()
    expected = {
        "logit": (own, unit),
        "probability": (p_own, (p_own * (1 - p_own))[:, None] * (unit - w)),
        "log_odds": (p_own.log() - (1 - p_own).log(), unit - w),
        "margin(second)": (own - logits.gather(1, second[:, None])[:, 0], unit - picked[second]),
        "margin(2)": (own - logits[:, 2], unit - picked[2]),
        "sum": (logits.sum(1), torch.ones_like(logits)),
        "sum(1, 3)": (logits[:, 1] + logits[:, 3], (picked[1] + picked[3]).expand(6, -1)),
        "rest": (own + p_own.log(), 2 * unit - p),
    }
    for text, (value, gradient) in expected.items():
        found = value_and_gradient(named(text), logits, targets)
        torch.testing.assert_close(found[0], value, msg=text)
        torch.testing.assert_close(found[1], gradient, msg=text)
        rivals = rivals_of(logits, targets) if named(text).follows_rival else None
        weights = named(text).weights(logits, targets, rivals)
        linear = text.partition("(")[0] in ("logit", "margin", "sum")
        assert (weights is not None) == linear
        assert weights is None or torch.equal(weights, gradient)


def test_of_two_classes_the_log_odds_are_the_margin():
    logits, targets = torch.randn(8, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1] * 4)
    odds, margin = (value_and_gradient(named(text), logits, targets) for text in ("log_odds", "margin(second)"))
    own, other = logits.gather(1, targets[:, None])[:, 0], logits.gather(1, 1 - targets[:, None])[:, 0]
    for first, second in zip(odds, margin, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    torch.testing.assert_close(margin[0], own - other)


def test_functions_are_called_image_by_image():
    logits, targets = torch.arange(6.0).reshape(2, 3), torch.zeros(2, dtype=torch.int64)
    assert function(lambda z: z[2]).values(logits, targets).tolist() == [2, 5]
    two = function(lambda z: z[0], lambda z: z[2:])
    assert two.values(logits, targets).tolist() == [0, 5]
    assert two.values(logits, targets, rows=torch.tensor([1, 0])).tolist() == [2, 3]
    assert two.of_images(slice(1, 2)).values(logits[1:], targets[1:]).tolist() == [5]


@each(
    ("given", "affine"),
    [
        (lambda z: 2 * z[1] - z[0] + 5, True),
        (lambda z: z.sum(), True),
        (lambda z: z.max(), False),
        (lambda z: z[1].relu(), False),
        (lambda z: z[1] ** 2, False),
        (lambda z: z.softmax(0)[1], False),
        (lambda z: z[0] * torch.sign(z[1].detach()), False),
        (lambda z: z[1].detach(), False),
    ],
)
def test_a_function_that_is_affine_has_weights(given: Callable[[Tensor], Tensor], affine: bool):
    logits, targets = torch.randn(3, 4, generator=torch.Generator().manual_seed(2)), torch.zeros(3, dtype=torch.int64)
    weights = function(given).weights(logits, targets)
    assert (weights is not None) is affine
    if weights is not None:
        at_zero = torch.stack([given(row) for row in torch.zeros_like(logits)])
        torch.testing.assert_close((weights * logits).sum(1) + at_zero, torch.stack([given(row) for row in logits]))


def test_functions_that_are_no_objective_are_refused():
    calls = list[int]()

    def counting(z: Tensor) -> Tensor:
        calls.append(1)
        return z[0] + len(calls)

    logits = torch.ones(2, 3)
    for given, message in (
        (lambda z: z, r"objective mine: returns shape \(3,\), torch.float32; return one number"),
        (lambda z: z.argmax(), r"returns shape \(\), torch.int64"),
        (lambda z: float(z[0]), "returns float; return one number, a tensor"),
        (lambda z: z[7], "objective mine: raises IndexError"),
        (lambda z: (z[0] - 2).log(), "returns nan; return a finite number"),
        (counting, "returns another value for the same image when called again"),
    ):
        with pytest.raises(UsageError, match=message):
            check_function(function(given), logits)
    check_function(function(lambda z: z[0]), logits)
    check_function(LOGIT, logits)


def test_a_class_that_the_model_does_not_have_is_refused():
    with pytest.raises(UsageError, match=r"--objective = margin\(3\): class 3; the model has classes 0 to 2"):
        named("margin(3)").values(torch.ones(1, 3), torch.tensor([0]))
