"""Metric objects of Quantus equal `quantus:NAME` with the same options."""

from __future__ import annotations

import pytest
import torch
from helpers.metric_inputs import inputs_of, measure
from helpers.quantus_library import quantus
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.metrics.common.quantus_objects import metric_from_object


def test_an_object_is_the_named_metric_with_its_options() -> None:
    classifier = toy_classifier("dense")
    with classifier.frozen():
        inputs = inputs_of(classifier, toy_batch())
        made = metric_from_object(quantus.FaithfulnessCorrelation(subset_size=30, nr_runs=20, disable_warnings=True))
        assert made is not None
        found = made[0](inputs).values
        torch.testing.assert_close(found, measure(inputs, "quantus:FaithfulnessCorrelation(subset_size=30, nr_runs=20)").values)
    assert made[1]["higher_is_better"]


def test_refusals_hold_for_the_class() -> None:
    with pytest.raises(UsageError, match="quantus:ROAD"):
        metric_from_object(quantus.ROAD(disable_warnings=True))
    assert metric_from_object(len) is None
