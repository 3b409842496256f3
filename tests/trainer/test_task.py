"""Both tasks are what the loop asks for."""

from __future__ import annotations

import inspect

import pytest
import torch

from camdbench.trainer.task import LossResult, Task
from camdbench.trainer.tasks.classification import ClassificationTask
from camdbench.trainer.tasks.segmentation import SegmentationTask

METHODS = [name for name, member in vars(Task).items() if inspect.isfunction(member) and not name.startswith("_")]


@pytest.mark.parametrize("kind", [ClassificationTask, SegmentationTask])
def test_a_task_has_every_method_with_the_arguments_of_the_interface(kind: type) -> None:
    assert {"parameters", "training", "batches", "loss", "validate", "weights", "state", "load_state"} <= set(METHODS)
    for name in METHODS:
        asked, given = (list(inspect.signature(getattr(owner, name)).parameters) for owner in (Task, kind))
        assert given == asked, name


def test_a_loss_has_one_value_for_each_image_by_position_or_name() -> None:
    total, logits = torch.tensor([1.0, 3.0]), torch.zeros(2, 5)
    found = LossResult(total, {"ce": total}, logits)
    assert found == (found.total, found.parts, found.logits)
    assert float(found.total.mean()) == 2
