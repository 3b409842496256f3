"""Labels that are no class of the network: unknown, or beyond its last class."""

from __future__ import annotations

import torch
from helpers.toys import CLASSES, toy_batch, toy_classifier

from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined


def test_unknown_labels_index_a_class_and_are_marked() -> None:
    labels = torch.tensor([-1, 0, CLASSES - 1, CLASSES])
    found = labels_of(MetricInputs(toy_classifier(), toy_batch().images, torch.zeros(4, dtype=torch.int64), labels=labels))
    assert found.classes.tolist() == [0, 0, CLASSES - 1, 0]
    assert found.known.tolist() == [False, True, True, False]


def test_undefined_values_are_nan_and_the_others_stay() -> None:
    values, undefined = mask_undefined(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True]))
    assert values.nan_to_num(-1).tolist() == [1, -1, 3]
    assert undefined.tolist() == [False, True, False]
