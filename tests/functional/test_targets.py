"""Which class is explained."""

from __future__ import annotations

import pytest
import torch

from camdbench.core.errors import UsageError
from camdbench.functional.targets import check_classes, pick_targets

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 0.0, -3.0]])
LABELS = torch.tensor([2, 0])


@pytest.mark.parametrize(
    ("rule", "expected"), [("label", [2, 0]), ("predicted", [0, 1]), ("runner_up", [2, 0]), ("least_likely", [1, 2]), ("1", [1, 1])]
)
def test_each_rule_picks_its_class(rule: str, expected: list[int]) -> None:
    assert pick_targets(rule, LOGITS, LABELS).tolist() == expected


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_the_model_does_not_have_is_named(label: int) -> None:
    with pytest.raises(UsageError, match=f"label {label}, but the model has classes 0 to 2"):
        pick_targets("label", LOGITS, torch.tensor([0, label]))


def test_a_class_index_that_the_model_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match="--target 3: the model has classes 0 to 2"):
        pick_targets("3", LOGITS, LABELS)


def test_classes_that_exist_come_back_as_they_are() -> None:
    assert check_classes(LABELS, 3, "x") is LABELS
