"""Losses: one value per image, held to the formula on plain floats."""

from __future__ import annotations

import math

import pytest
import torch

from camdbench.core.catalogue import losses
from camdbench.core.errors import UsageError
from camdbench.trainer.losses import Step, cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_the_formula(smoothing: float) -> None:
    logits, labels = [[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]], [0, 1]
    expected = []
    for row, label in zip(logits, labels, strict=True):
        logs = [value - math.log(sum(map(math.exp, row))) for value in row]
        expected.append(-sum((smoothing / 3 + (1 - smoothing) * (k == label)) * log for k, log in enumerate(logs)))
    found = cross_entropy(Step(torch.tensor(logits), torch.tensor(labels)), smoothing=smoothing)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_smoothing_must_leave_something_for_the_label() -> None:
    with pytest.raises(UsageError, match="smoothing=1"):
        cross_entropy(Step(torch.zeros(1, 2), torch.tensor([0])), smoothing=1.0)


def test_the_registry_knows_it() -> None:
    assert losses.load("ce") is cross_entropy
    assert losses.parse_one("ce(smoothing=0.1)").arguments == {"smoothing": 0.1}
