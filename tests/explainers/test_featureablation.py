"""Feature ablation: Captum, a known game, and what a sum over pixels means."""

from __future__ import annotations

import pytest
import torch
from captum.attr import FeatureAblation
from helpers.toys import toy_batch, toy_classifier
from helpers.two_pixels import two_pixels

from camdbench.explainers.common.segments import segment
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.featureablation import featureablation

pytestmark = pytest.mark.usefixtures("float64")


def test_of_a_product_each_player_loses_all_of_it() -> None:
    found = featureablation(two_pixels(), segments="grid", cells=2, fill="black")
    assert found.flatten().tolist() == pytest.approx([4, 5, 0, 0])


@pytest.mark.parametrize("fill", ["black", "mean"])
def test_is_captums_on_the_same_segments(fill: str) -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    labels = segment(trace, "grid", 3).labels[:, None]
    colour = torch.zeros(1, 3, 1, 1) if fill == "black" else trace.classifier.mean
    with torch.no_grad():
        reference = FeatureAblation(trace.classifier).attribute(
            trace.images, colour.expand_as(trace.images), target=trace.targets, feature_mask=labels
        )
    found = featureablation(trace, segments="grid", cells=3, fill=fill)
    torch.testing.assert_close(found, reference[:, 0].to(found), rtol=1e-6, atol=1e-6)


def test_the_pixels_of_a_segment_sum_to_its_value_as_a_density() -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    found = segment(trace, "grid", 3)
    values = featureablation(trace, segments="grid", cells=3, score="probability")
    density = featureablation(trace, segments="grid", cells=3, score="probability", spread="density")
    first = torch.stack([row[labels == 4] for row, labels in zip(values, found.labels, strict=True)])[:, 0]
    inside = torch.stack([row[labels == 4].sum() for row, labels in zip(density, found.labels, strict=True)])
    torch.testing.assert_close(inside, first, rtol=1e-5, atol=1e-8)
    assert first.abs().max() > 1e-3
