"""Few points: the number that is warned of is that of the curve which the metric returns."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench import evaluate
from camdbench.core.errors import CamdbenchWarning
from camdbench.core.registries import metrics
from camdbench.metrics.common.curve_points import few_points
from camdbench.metrics.common.inputs import MetricInputs

FEW = ("insertion(step=48)", "deletion", "morf(patch=4)", "lerf(patch=4, regions=0)", "aopc(patch=4)")
ENOUGH = (
    "insertion(step=8)",
    "insertion(intervals=5)",
    "deletion(protocol=xplique)",
    "morf(protocol=chefer)",
    "aopc(regions=9, patch=4)",
    "ad",
)


def points_of(text: str) -> int:
    """Number of points of the curve that the metric returns."""
    classifier, batch, spec = toy_classifier(), toy_batch(2), metrics.parse_one(text)
    maps = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0))
    inputs = MetricInputs(classifier, batch.images, torch.zeros(2, dtype=torch.int64), maps)
    (curve,) = metrics.load(spec.name)(inputs, **metrics.get(spec.name).arguments(spec)).curves.values()
    return len(curve.x)


@each("text", FEW)
def test_the_number_is_that_of_the_curve(text: str):
    assert few_points(metrics.parse_one(text), SIZE) == points_of(text)


@each("text", ENOUGH)
def test_curves_that_have_few_points_by_their_options_are_not_warned_of(text: str):
    assert few_points(metrics.parse_one(text), SIZE) is None


def test_a_warning_names_the_metric_once_and_no_row_changes():
    batch = toy_batch(2)
    with pytest.warns(CamdbenchWarning) as found:
        rows = evaluate(toy_classifier(), batch.images, [0, 1], torch.rand(2, *SIZE), ["deletion", "insertion(step=8)"], batch_size=1)
    (message,) = [str(item.message) for item in found]
    assert message.startswith("metric deletion: its curve has 2 points on images of 16 x 12 pixels")
    assert set(rows["status"]) == {"ok"}
