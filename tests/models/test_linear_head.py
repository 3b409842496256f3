"""Heads whose maths is known, and the tail replayed on altered activations."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import random_network, side_of
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.linear_head import linear_head
from camdbench.models.pass_counts import PassCounts
from camdbench.models.zoo import load_classifier


def trace_of(classifier: Classifier, layer: str | None = None) -> Trace:
    return Trace(classifier, toy_batch(), target="predicted", layer=layer)


def test_the_weights_of_a_linear_head_give_the_logits():
    classifier = toy_classifier("gap")
    with classifier.frozen():
        trace = trace_of(classifier)
        weights = trace.class_weights
        gradients = trace.gradients
    places = trace.activations.shape[2] * trace.activations.shape[3]
    torch.testing.assert_close(gradients, (weights[trace.targets] / places)[:, :, None, None].expand_as(gradients))


@pytest.mark.parametrize("bias", [0.0, 1e6])
def test_a_bias_that_outweighs_the_rest_does_not_hide_the_head(bias: float):
    classifier = toy_classifier("gap")
    classifier.network.head[-1].bias.data += bias
    with classifier.frozen():
        trace = trace_of(classifier)
        rounded = trace.logits * (1 + 1e-6)  # as another order of the sums rounds
        assert linear_head(classifier, trace.activations, rounded) is not None
        assert linear_head(classifier, trace.activations, trace.logits * 1.01) is None


def test_an_image_without_finite_logits_does_not_hide_the_head_from_the_others():
    classifier, batch = toy_classifier("gap"), toy_batch()
    with classifier.frozen():
        weights = Trace(classifier, batch, target=1).class_weights
        batch.images[0, 0, 0, 0] = torch.nan
        torch.testing.assert_close(Trace(classifier, batch, target=1).class_weights, weights)
        batch.images[:] = torch.nan
        with pytest.raises(NotApplicable, match="not global average pooling and a linear layer"):
            _ = Trace(classifier, batch, target=1).class_weights


def test_a_head_of_another_kind_has_no_class_weights():
    classifier = toy_classifier("dense")
    with classifier.frozen(), pytest.raises(NotApplicable, match="not global average pooling and a linear layer"):
        _ = trace_of(classifier).class_weights


def test_a_layer_further_in_has_no_class_weights_even_where_shapes_fit():
    classifier = load_classifier("shortcuts-ce", device="cpu")
    images = torch.rand(2, 3, 96, 96)
    from camdbench.datasets.in_memory import make_batch

    with classifier.frozen():
        assert Trace(classifier, make_batch(images), target="predicted").class_weights.shape == (8, 64)
        with pytest.raises(NotApplicable):
            _ = Trace(classifier, make_batch(images), target="predicted", layer="layer3.0").class_weights


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "small_vit", "swin_t"])
def test_replaying_what_the_layer_gave_gives_the_logits(name: str):
    classifier, side = random_network(name), side_of(name, 64)
    from camdbench.datasets.in_memory import make_batch

    with classifier.frozen():
        trace = Trace(classifier, make_batch(torch.rand(2, 3, side, side)), target="predicted")
        expected = trace.logits
        for index in range(2):
            again = trace.replay(index, trace.activations[index].expand(3, -1, -1, -1))
            torch.testing.assert_close(again, expected[index].expand(3, -1), rtol=1e-4, atol=1e-4)


def test_a_replay_equals_a_full_pass_with_the_channel_off_and_costs_tails():
    classifier = toy_classifier("dense")
    with classifier.frozen():
        trace = trace_of(classifier)
        off = trace.activations[:1].repeat(2, 1, 1, 1)
        off[1, 0] = 0
        passes = classifier.passes
        logits = trace.replay(0, off)
        assert classifier.passes - passes == PassCounts(forward=1, tail_forward=2)
        torch.testing.assert_close(logits[0], trace.logits[0])
        # A slow reference: the same channel switched off by hand, on the whole network.
        module = classifier.module(classifier.layer_name())

        def switch_off(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            output[:, 0] = 0
            return output

        handle = module.register_forward_hook(switch_off)
        expected = classifier(trace.images[:1])
        handle.remove()
    torch.testing.assert_close(logits[1:], expected)


def test_a_layer_inside_a_branch_that_cannot_broadcast_is_replayed_in_full():
    classifier = load_classifier("densenet121@random", device="cpu")
    from camdbench.datasets.in_memory import make_batch

    layer = "features.denseblock4.denselayer16.conv2"  # its output is concatenated with what goes round it
    with classifier.frozen():
        trace = Trace(classifier, make_batch(torch.rand(1, 3, 64, 64)), target="predicted", layer=layer)
        expected, passes = trace.logits, classifier.passes
        again = trace.replay(0, trace.activations.expand(3, -1, -1, -1))
        assert classifier.passes - passes == PassCounts(forward=3)
    torch.testing.assert_close(again, expected.expand(3, -1), rtol=1e-4, atol=1e-4)
