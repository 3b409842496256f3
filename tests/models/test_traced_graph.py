"""Traced graphs: their values are those of the network, and products with the Jacobian those of autograd."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.models.classifier import Classifier
from camdbench.models.traced_graph import TracedGraph


def test_values_and_kinds() -> None:
    classifier = toy_classifier().eval().requires_grad_(False)
    images = toy_batch().images
    graph = TracedGraph(classifier, images)
    assert classifier.passes.forward == len(images)
    torch.testing.assert_close(graph.values[graph.output], classifier(images))
    with classifier.captured("relu2") as seen:
        classifier(images)
    end = graph.end_of("relu2")
    torch.testing.assert_close(graph.values[end], seen.output().detach())
    assert graph.kind(end) == "relu"
    assert {graph.kind(node) for node in graph.nodes} >= {"weighted", "norm", "relu"}


def test_pull_is_the_vector_jacobian_product() -> None:
    classifier = toy_classifier().eval().requires_grad_(False)
    graph = TracedGraph(classifier, toy_batch().images)
    node = graph.end_of("conv2")
    credit = torch.randn(graph.values[node].shape, generator=torch.Generator().manual_seed(0))
    ((source, found),) = graph.pull(node, credit).items()
    leaf = graph.values[source].detach().requires_grad_()
    (expected,) = torch.autograd.grad(graph.module(node)(leaf), leaf, credit)
    torch.testing.assert_close(found, expected)


def test_an_unknown_layer_is_not_applicable() -> None:
    graph = TracedGraph(toy_classifier().eval(), toy_batch().images)
    with pytest.raises(NotApplicable, match="layer 'none' is not among the traced operations of Toy"):
        graph.end_of("none")


def test_control_flow_that_depends_on_the_input_is_not_applicable() -> None:
    class Branches(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    with pytest.raises(NotApplicable, match="the operations of Branches cannot be listed"):
        TracedGraph(Classifier(Branches(), mean=0.5, std=0.5), toy_batch().images)
