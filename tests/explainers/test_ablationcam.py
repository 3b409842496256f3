"""Ablation-CAM: closed form, tail replay and whole passes are one; pytorch-grad-cam is the reference where logits are positive."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.other_libraries import raw_map_of_grad_cam
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.explainers.ablationcam import ablationcam, losses_by_replay, losses_by_weights
from camdbench.explainers.common.trace import Trace
from camdbench.functional import pass_size
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")


def losses_by_whole_passes(classifier: Classifier, batch: Batch, layer: str) -> Tensor:
    """y - y_k (B, K), the channel switched off by hand, the whole network run for each."""
    y = classifier(batch.images)
    count = Trace(classifier, batch, layer=layer).activations.shape[1]
    losses = torch.zeros(len(batch), count)
    for channel in range(count):

        def switch_off(module: nn.Module, inputs: object, output: Tensor, channel: int = channel) -> Tensor:
            return output.index_fill(1, torch.tensor([channel]), 0)

        handle = classifier.module(layer).register_forward_hook(switch_off)
        off = classifier(batch.images)
        handle.remove()
        losses[:, channel] = (y - off).gather(1, batch.labels[:, None]).squeeze(1)
    return losses


@pytest.mark.parametrize("layer", ["relu2", "conv2", "norm1"])
def test_a_replay_of_the_tail_is_a_pass_through_the_whole_network(classifier: Classifier, batch: Batch, layer: str) -> None:
    with classifier.frozen():
        expected = losses_by_whole_passes(classifier, batch, layer)
        torch.testing.assert_close(losses_by_replay(Trace(classifier, batch, layer=layer)), expected)
    assert expected.abs().max() > 0.1


def test_on_a_linear_head_the_closed_form_is_the_replay(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    with classifier.frozen():
        trace = Trace(classifier, batch)
        torch.testing.assert_close(losses_by_weights(trace), losses_by_replay(trace))


@pytest.mark.parametrize(("rule", "sign"), [("predicted", 1), ("least_likely", -1)])
def test_it_is_that_of_grad_cam_whose_weights_turn_their_sign_with_the_logit(
    classifier: Classifier, batch: Batch, rule: str, sign: int
) -> None:
    targets = Trace(classifier, batch, target=rule).targets
    batch = replace(batch, labels=targets)
    expected = raw_map_of_grad_cam(classifier, batch, "AblationCAM")
    with classifier.frozen():
        trace = Trace(classifier, batch)
        signs = trace.target_logits.sign()
        assert sign in signs
        # grad-cam keeps the logits that it compares in float32
        torch.testing.assert_close(ablationcam(trace, relu=False) * signs[:, None, None], expected, rtol=1e-6, atol=1e-6)


def test_on_a_linear_head_it_costs_one_forward_pass() -> None:
    classifier = toy_classifier("gap")
    with classifier.frozen():
        ablationcam(Trace(classifier, toy_batch()))
    assert classifier.passes == PassCounts(forward=4)


@pytest.mark.parametrize(("room", "replays"), [(2**19, 1), (3 * 8 * 8 * 6 // 16, 3)])
def test_elsewhere_it_costs_a_tail_pass_for_each_channel_that_is_not_zero(monkeypatch: pytest.MonkeyPatch, room: int, replays: int) -> None:
    classifier = toy_classifier("dense")
    classifier.network.conv2.weight.data[3] = 0
    classifier.network.conv2.bias.data[3] = -1
    monkeypatch.setattr(pass_size, "CPU_PIXELS", room)
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        found = ablationcam(trace, relu=False)
        assert classifier.passes == PassCounts(forward=4 + 4 * replays, tail_forward=4 * 7)
        expected = losses_by_whole_passes(classifier, trace.batch, "relu2")
    assert not expected[:, 3].any()
    weights = expected / trace.target_logits.abs()[:, None]
    torch.testing.assert_close(found, torch.einsum("bk,bkhw->bhw", weights, trace.activations))


def test_a_logit_of_zero_divides_nothing() -> None:
    classifier = toy_classifier("gap")
    nn.init.zeros_(classifier.network.head[-1].weight)
    nn.init.zeros_(classifier.network.head[-1].bias)
    with classifier.frozen():
        assert torch.equal(ablationcam(Trace(classifier, toy_batch())), torch.zeros(4, 8, 6))
