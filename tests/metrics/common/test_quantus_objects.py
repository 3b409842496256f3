"""Metric objects of Quantus equal `quantus:NAME` with the same options."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.metric_inputs import inputs_of, measure
from helpers.quantus_library import quantus
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
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


@pytest.mark.parametrize(
    ("made", "setting"),
    [
        (lambda: quantus.MaxSensitivity(upper_bound=0.5, disable_warnings=True), "upper_bound=0.5"),
        (lambda: quantus.MaxSensitivity(perturb_func=quantus.gaussian_noise, disable_warnings=True), "perturb_func=gaussian_noise"),
        (
            lambda: quantus.FaithfulnessCorrelation(similarity_func=quantus.correlation_spearman, disable_warnings=True),
            "similarity_func=correlation_spearman",
        ),
        (lambda: quantus.PixelFlipping(perturb_baseline="mean", disable_warnings=True), "perturb_baseline='mean'"),
        (
            lambda: quantus.Sparseness(normalise_func=quantus.normalise_by_negative, disable_warnings=True),
            "normalise_func=normalise_by_neg",
        ),
        (lambda: quantus.Sparseness(normalise_func_kwargs={"axes": 1}, disable_warnings=True), "axes=1"),
        (lambda: quantus.AttributionLocalisation(weighted=True, disable_warnings=True), "weighted=True"),
    ],
)
def test_a_setting_without_an_option_is_refused(made: Callable[[], Any], setting: str) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(setting)}.*: is no option here"):
        metric_from_object(made())


def test_options_inside_functions_are_honoured() -> None:
    classifier = toy_classifier("dense")
    objects = {
        "quantus:MaxSensitivity(nr_samples=3, lower_bound=0.5)": quantus.MaxSensitivity(
            nr_samples=3, lower_bound=0.5, disable_warnings=True
        ),
        "quantus:RelativeInputStability(nr_samples=3, same_class=False)": quantus.RelativeInputStability(
            nr_samples=3, return_nan_when_prediction_changes=False, disable_warnings=True
        ),
        "quantus:LocalLipschitzEstimate(nr_samples=3, perturb_std=0.4)": quantus.LocalLipschitzEstimate(
            nr_samples=3, perturb_std=0.4, disable_warnings=True
        ),
    }
    with classifier.frozen():
        inputs = inputs_of(classifier, toy_batch(2))
        for spec, obj in objects.items():
            made = metric_from_object(obj)
            assert made is not None
            torch.testing.assert_close(made[0](inputs).values, measure(inputs, spec).values, equal_nan=True)


def test_every_metric_at_its_defaults_is_taken() -> None:
    for name in metrics.names():
        if name.startswith("quantus:"):
            assert metric_from_object(getattr(quantus, name.removeprefix("quantus:"))(disable_warnings=True)) is not None
