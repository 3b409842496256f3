"""Which class is explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.functional.targets import check_classes, class_indices, pick_targets

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 0.0, -3.0]])
LABELS = torch.tensor([2, 0])


@each(("rule", "expected"), [("label", [2, 0]), ("predicted", [0, 1]), ("runner_up", [2, 0]), ("least_likely", [1, 2]), ("1", [1, 1])])
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


@each(
    "given",
    [
        [2, 0, 1],
        (2, 0, 1),
        np.array([2, 0, 1], dtype=np.uint8),
        torch.tensor([2, 0, 1], dtype=torch.int16),
        [torch.tensor(2), np.int64(0), np.array(1)],
        ["dog", " Cat ", "owl"],
        ["dog", 0, "OWL"],
        np.array(["dog", "cat", "owl"]).tolist(),
    ],
)
def test_class_indices_are_integers_or_names(given: Any) -> None:
    found = class_indices(given, 3, "targets", ("cat", "owl", "dog"))
    assert found.dtype == torch.int64
    assert found.tolist() == [2, 0, 1]


@each(
    ("given", "message"),
    [
        ([0.7, 1.2], "targets are float64; expected class indices"),
        ([1.0, 0.0], "targets are float64"),
        (torch.tensor([0.7, 1.2]), "targets are float32"),
        ([True, False], "targets are bool"),
        ([0, True], "targets are bool"),
        (np.array([True, False]), "targets are bool"),
        (torch.eye(2), r"shape \(2, 2\): expected one class index per image; of one-hot rows give argmax\(1\)"),
        ([0, 1, 0], "3 targets for 2 images"),
        ([], "0 targets for 2 images"),
        ([None, 1], "targets are list; expected class indices"),
        ([[0], [1, 2]], "targets are list|one class index per image"),
        (["dog", "cow"], "targets: no class 'cow'"),
        ({"a": 1}, "targets are dict"),
    ],
)
def test_everything_else_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        class_indices(given, 2, "targets", ("cat", "dog"))


def test_a_name_without_known_names_is_refused() -> None:
    with pytest.raises(UsageError, match="labels: 'cat' is a class name, but the model has no class_names"):
        class_indices(["cat"], 1, "labels")
