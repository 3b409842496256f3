"""Metric objects of Quantus equal `quantus:NAME` with the same options."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.each import each
from helpers.metric_inputs import inputs_of, measure
from helpers.quantus_library import quantus
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics
from camdbench.metrics.common.quantus_objects import metric_from_object


def made(kind: Callable[..., Any], **options: Any) -> Any:
    """A metric that does not print its warnings."""
    return kind(**options, disable_warnings=True)


def test_an_object_is_the_named_metric_with_its_options() -> None:
    classifier = toy_classifier("dense")
    with classifier.frozen():
        inputs = inputs_of(classifier, toy_batch())
        found = metric_from_object(made(quantus.FaithfulnessCorrelation, subset_size=30, nr_runs=20))
        assert found is not None
        values = found[0](inputs).values
        torch.testing.assert_close(values, measure(inputs, "quantus:FaithfulnessCorrelation(subset_size=30, nr_runs=20)").values)
    assert found[1]["higher_is_better"]


def test_refusals_hold_for_the_class() -> None:
    with pytest.raises(UsageError, match="quantus:ROAD"):
        metric_from_object(quantus.ROAD(disable_warnings=True))
    assert metric_from_object(len) is None


@each(
    ("make", "setting"),
    [
        (lambda: made(quantus.MaxSensitivity, upper_bound=0.5), "upper_bound=0.5"),
        (lambda: made(quantus.MaxSensitivity, perturb_func=quantus.gaussian_noise), "perturb_func=gaussian_noise"),
        (
            lambda: made(quantus.FaithfulnessCorrelation, similarity_func=quantus.correlation_spearman),
            "similarity_func=correlation_spearman",
        ),
        (lambda: made(quantus.PixelFlipping, perturb_baseline="mean"), "perturb_baseline='mean'"),
        (
            lambda: made(quantus.Sparseness, normalise_func=quantus.normalise_by_negative),
            "normalise_func=normalise_by_neg",
        ),
        (lambda: made(quantus.Sparseness, normalise_func_kwargs={"axes": 1}), "axes=1"),
        (lambda: made(quantus.AttributionLocalisation, weighted=True), "weighted=True"),
    ],
)
def test_a_setting_without_an_option_is_refused(make: Callable[[], Any], setting: str) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(setting.replace('=', ' = '))}.*: not an option"):
        metric_from_object(make())


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
            found = metric_from_object(obj)
            assert found is not None
            torch.testing.assert_close(found[0](inputs).values, measure(inputs, spec).values, equal_nan=True)


def test_every_metric_at_its_defaults_is_taken() -> None:
    for name in metrics.names():
        if name.startswith("quantus:"):
            assert metric_from_object(getattr(quantus, name.removeprefix("quantus:"))(disable_warnings=True)) is not None
