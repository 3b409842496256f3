"""Grad-CAM and HiResCAM in closed form on a head that is worked out by hand."""

from __future__ import annotations

import numpy as np
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.hirescam import hirescam
from camdbench.explainers.lafam import lafam


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


def test_lafam_is_the_mean_over_channels_and_zero_where_that_is_rounding(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    expected = np.array([[np.mean(image[:, row], axis=0) for row in range(8)] for image in trace.at("conv2").activations.numpy()])
    np.testing.assert_allclose(lafam(trace, layer="conv2").numpy(), expected, rtol=1e-5, atol=1e-7)
    assert (expected < 0).any()
    trace.at("conv2").activations[:, :4, 0, 0], trace.at("conv2").activations[:, 4:, 0, 0] = 1.0, -1.0 + 1e-7
    assert lafam(trace, layer="conv2")[:, 0, 0].tolist() == [0.0] * len(expected)


def test_another_layer_may_be_named_in_the_options() -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    torch.testing.assert_close(gradcam(trace, layer="conv2"), gradcam(Trace(trace.classifier, trace.batch, layer="conv2")))
