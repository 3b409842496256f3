"""Losses of logits alone: one value per image, held to the formula on plain floats."""

from __future__ import annotations

import math

import pytest
from helpers.steps import step_of

from camdbench.core.errors import UsageError
from camdbench.core.registries import losses
from camdbench.trainer.losses.cross_entropy import binary_cross_entropy, cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_the_formula(smoothing: float) -> None:
    logits, labels = [[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]], [0, 1]
    expected = []
    for row, label in zip(logits, labels, strict=True):
        logs = [value - math.log(sum(map(math.exp, row))) for value in row]
        expected.append(-sum((smoothing / 3 + (1 - smoothing) * (k == label)) * log for k, log in enumerate(logs)))
    found = cross_entropy(step_of(logits, labels), smoothing=smoothing)
    assert found.total.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.total.requires_grad


def test_an_image_without_label_costs_nothing() -> None:
    assert cross_entropy(step_of([[2.0, 0.0], [2.0, 0.0]], [-1, 0])).total[0] == 0


def test_smoothing_must_leave_something_for_the_label() -> None:
    with pytest.raises(UsageError, match="smoothing=1"):
        cross_entropy(step_of([[0.0, 0.0]], [0]), smoothing=1.0)


@pytest.mark.parametrize("present", [None, [[1, 1, 0], [0, 0, 0]]])
def test_binary_cross_entropy_is_the_formula(present: list[list[int]] | None) -> None:
    logits = [[2.0, -1.0, 0.5], [0.0, 40.0, 3.0]]
    found = binary_cross_entropy(step_of(logits, [0, 2], present)).total.tolist()
    for row, wanted, value in zip(logits, present or [[1, 0, 0], [0, 0, 1]], found, strict=True):
        terms = [math.log1p(math.exp(-x if y else x)) for x, y in zip(row, wanted, strict=True)]
        assert value == pytest.approx(sum(terms) / 3, abs=1e-5)


def test_the_registry_knows_them() -> None:
    assert losses.load("ce") is cross_entropy
    assert losses.parse_one("ce(smoothing=0.1)").arguments == {"smoothing": 0.1}
