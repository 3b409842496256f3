"""Grad-CAM and HiResCAM in closed form on a head that is worked out by hand."""

from __future__ import annotations

import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.hirescam import hirescam


def test_on_a_gap_head_both_are_the_class_activation_map_over_the_number_of_places(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    trace = Trace(classifier, batch)
    weights = classifier.network.head[-1].weight[batch.labels]  # (B, K)
    cam = torch.einsum("bk,bkhw->bhw", weights, trace.activations) / (8 * 6)
    torch.testing.assert_close(gradcam(trace, relu=False), cam)
    torch.testing.assert_close(hirescam(trace, relu=False), cam)
    torch.testing.assert_close(gradcam(trace), cam.relu())


def test_on_a_gap_head_hirescam_adds_up_to_the_logit_less_its_bias(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    trace = Trace(classifier, batch)
    bias = classifier.network.head[-1].bias[batch.labels]
    torch.testing.assert_close(hirescam(trace, relu=False).sum((1, 2)), trace.target_logits - bias)


def test_on_a_dense_head_they_differ(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    weights = trace.gradients.mean((2, 3))
    torch.testing.assert_close(gradcam(trace, relu=False), torch.einsum("bk,bkhw->bhw", weights, trace.activations))
    torch.testing.assert_close(hirescam(trace, relu=False), (trace.gradients * trace.activations).sum(1))
    assert (gradcam(trace, relu=False) - hirescam(trace, relu=False)).abs().max() > 1e-3


def test_another_layer_may_be_named_in_the_options() -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    torch.testing.assert_close(gradcam(trace, layer="conv2"), gradcam(Trace(trace.classifier, trace.batch, layer="conv2")))
