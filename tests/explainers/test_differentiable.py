"""A differentiable trace: the same maps as the benchmark's, and their derivatives by the weights are right."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.steps import slope
from helpers.toys import size_of, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier

CAMS = ["gradcam", "gradcampp", "layercam", "hirescam", "xgradcam", "contrastivecam", "elementwise", "finercam"]


def _map(classifier: Classifier, batch: Batch, cam: str, *, differentiable: bool) -> Tensor:
    spec = explainers.parse_one(cam)
    return explainers.load(spec.name)(Trace(classifier, batch, differentiable=differentiable), **spec.arguments)


def _exact(head: str) -> tuple[Classifier, Batch]:
    classifier, batch = toy_classifier(head).double(), toy_batch(2, size=size_of(head))
    classifier.mean, classifier.std = classifier.mean.double(), classifier.std.double()
    return classifier, Batch(batch.ids, batch.images.double(), batch.labels, batch.boxes, batch.masks)


@each("head", ["gap", "dense", "vit"])
@each("cam", CAMS)
def test_the_map_is_the_benchmarks(cam: str, head: str) -> None:
    classifier, batch = _exact(head)
    trained = _map(classifier, batch, cam, differentiable=True)
    with classifier.frozen():
        judged = _map(classifier, batch, cam, differentiable=False)
    torch.testing.assert_close(trained.detach(), judged, rtol=1e-10, atol=1e-12)
    assert trained.requires_grad
    assert not judged.requires_grad


@each("head", ["gap", "dense", "vit"])
@each("cam", CAMS)
def test_its_derivative_by_the_weights_is_the_slope_of_its_values(cam: str, head: str) -> None:
    classifier, batch = _exact(head)

    def value() -> Tensor:
        map_ = _map(classifier, batch, cam, differentiable=True)
        return (map_ * torch.randn(map_.shape, dtype=map_.dtype, generator=torch.Generator().manual_seed(5))).sum()

    by_autograd, by_values = slope(classifier, value)
    assert abs(by_values) > 1e-6
    assert by_autograd == pytest.approx(by_values, rel=1e-4)


def test_third_derivatives_are_refused(batch: Batch) -> None:
    assert _map(toy_classifier("gap"), batch, "shapleycam", differentiable=True).requires_grad  # nothing is bent there
    with pytest.raises(NotApplicable, match="cannot be trained through"):
        _map(toy_classifier("dense"), batch, "shapleycam", differentiable=True)


def test_only_a_differentiable_trace_reaches_the_weights(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    assert Trace(classifier, batch, differentiable=True).of(batch).logits.requires_grad
    assert Trace(classifier, batch, differentiable=True).at("conv2").gradients.requires_grad
    plain = Trace(classifier, batch)
    assert not plain.logits.requires_grad
    assert not plain.activations.requires_grad
    assert not plain.class_weights.requires_grad
    assert Trace(classifier, batch, differentiable=True).class_weights.requires_grad


def test_a_layer_behind_frozen_weights_can_still_be_looked_at(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    classifier.requires_grad_(False)
    classifier.network.head[-1].requires_grad_(True)
    map_ = _map(classifier, batch, "hirescam", differentiable=True)
    map_.sum().backward()
    assert classifier.network.head[-1].weight.grad.abs().sum() > 0
    assert classifier.network.conv1.weight.grad is None


def test_a_network_without_a_layer_still_gives_logits_to_train_on(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    classifier.layer = None
    assert Trace(classifier, batch, differentiable=True).logits.requires_grad
    assert not Trace(classifier, batch).logits.requires_grad
