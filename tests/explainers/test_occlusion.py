"""Occlusion against captum, and in closed form on a linear model."""

from __future__ import annotations

import pytest
import torch
from captum.attr import Occlusion
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import nn

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.occlusion import occlusion
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (3, 3), (12, 5)])
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_is_captums(batch: Batch, window: int, stride: int, score: str) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    mean = trace.classifier.mean.expand(4, 3, *SIZE)

    def forward(images: torch.Tensor) -> torch.Tensor:
        logits = trace.classifier(images)
        return logits if score == "logit" else logits.softmax(1)

    with torch.no_grad():
        reference = Occlusion(forward).attribute(
            batch.images, (3, window, window), (3, stride, stride), baselines=mean, target=trace.targets, perturbations_per_eval=8
        )
    found = occlusion(trace, window=window, stride=stride, score=score)
    torch.testing.assert_close(found, reference[:, 0], rtol=1e-4, atol=1e-6)


def test_of_one_pixel_on_a_linear_model_is_the_effect_of_the_pixel() -> None:
    batch = toy_batch()
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    trace = Trace(Classifier(network, mean=0, std=1), batch)
    effects = (network[1].weight[batch.labels].reshape(4, 3, *SIZE) * batch.images).sum(1)
    torch.testing.assert_close(occlusion(trace, window=1, stride=1, score="logit"), effects.detach(), rtol=0, atol=1e-5)


def test_without_options_the_window_is_a_fifth_of_the_shorter_side(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    torch.testing.assert_close(occlusion(trace), occlusion(trace, window=2, stride=1))
    assert not torch.allclose(occlusion(trace), occlusion(trace, fill="black"), atol=1e-3)


def test_costs_one_pass_a_place(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    occlusion(trace, window=4, stride=4)
    assert trace.classifier.passes.forward == 4 + 4 * (4 * 3)
    assert trace.classifier.passes.backward == 0
