"""Metrics on given maps as a run calls them, images that pass through the network, and a network of known scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camdbench.core.registries import explainers, metrics
from camdbench.datasets.samples import Batch
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.runner.scoring import score_batch
from helpers.metric_inputs import measure
from helpers.network_hooks import images_counted
from helpers.toys import Toy, toy_batch, toy_classifier


def scored(classifier: Classifier, batch: Batch, maps: Tensor, spec: str, raw: Tensor | None = None) -> MetricResult:
    """A metric on maps (B, H, W) in [0, 1] of the labels, with the logits that a run has."""
    with torch.inference_mode(mode=False), torch.no_grad(), classifier.frozen():
        logits = classifier(batch.images)
        return measure(MetricInputs(classifier, batch.images, batch.labels, maps, raw=raw, logits=logits, ids=batch.ids), spec)


def images_of(asked: str, *, cams: str = "gradcam", count: int = 2) -> int:
    """Images that pass through the network when a run scores these metrics, explanations included."""
    classifier = toy_classifier("dense")
    with torch.inference_mode(mode=False), classifier.frozen(), images_counted(Toy) as seen:
        list(score_batch(classifier, toy_batch(count), explainers.parse(cams), metrics.parse(asked), target="label", seed=0))
    return seen.images


class Additive(nn.Module):
    """Two classes; the probability of class 0 is the sum of weights of the four quadrants, each times the quadrant's mean brightness."""

    def __init__(self, weights: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float64).reshape(2, 2)

    def forward(self, images: Tensor) -> Tensor:
        quadrants = nn.functional.adaptive_avg_pool2d(images.double().mean(1), 2)
        shown = (quadrants * self.weights).sum((1, 2)).clamp(1e-12, 1 - 1e-12)
        return torch.stack([shown.log(), (1 - shown).log()], 1)


def additive_classifier(*weights: float) -> Classifier:
    """The network above, on images as they are."""
    first, second, third, fourth = weights
    return Classifier(Additive((first, second, third, fourth)), mean=0, std=1, name="additive")
