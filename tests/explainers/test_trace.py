"""A trace computes every part at most once, counts its usage, and leaves no gradient behind."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.fakecam import fakecam
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.hirescam import hirescam
from camdbench.explainers.opticam import opticam
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts


def test_gradcam_and_hirescam_together_cost_one_forward_and_one_tail_backward_pass(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        gradcam(trace)
        hirescam(trace)
        gradcam(trace, relu=False)
        trace.logits, trace.targets  # noqa: B018 - reading them costs nothing more
    assert classifier.passes == PassCounts(forward=4, tail_backward=4)


def test_another_layer_costs_its_own_passes_and_the_first_one_again_none(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        gradcam(trace)
        gradcam(trace, layer="conv2")
        gradcam(trace, layer="conv2", relu=False)
        gradcam(trace, layer="relu2")
    assert classifier.passes == PassCounts(forward=8, tail_backward=8)


def test_a_control_costs_nothing(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        fakecam(Trace(classifier, batch))
    assert classifier.passes == PassCounts()


def test_opticam_reuses_the_logits_and_activations_of_the_others(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        gradcam(trace)
        opticam(trace, iterations=3, objective="diff")
    # the one pass of both, that of the copy in float64, and the iterations
    assert classifier.passes == PassCounts(forward=4 + 4 + 4 * 3, backward=4 * 3, tail_backward=4)


def test_usage_is_attributed_to_each_reader_as_if_it_ran_alone(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        gradcam(trace)
        first = trace.usage.usage_since_last_call().passes
        hirescam(trace)
        second = trace.usage.usage_since_last_call().passes
        trace.logits  # noqa: B018 - reading it is the point
        third = trace.usage.usage_since_last_call().passes
    assert first == second == PassCounts(forward=4, tail_backward=4)
    assert third == PassCounts(forward=4)
    assert trace.usage.spent().passes == PassCounts(forward=4, tail_backward=4)
    assert trace.usage.usage_since_last_call().passes == PassCounts()


def test_no_parameter_ever_gets_a_gradient(classifier: Classifier, batch: Batch) -> None:
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    trace = Trace(classifier, batch)  # not even where nobody froze the network
    gradcam(trace)
    hirescam(trace)
    opticam(trace, iterations=2)
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_gradients_are_those_of_autograd_through_the_whole_network(classifier: Classifier, batch: Batch) -> None:
    network = classifier.network
    seen = (batch.images - classifier.mean) / classifier.std
    grid = network.relu2(network.conv2(network.relu1(network.norm1(network.conv1(seen)))))
    logits = network.head(grid)
    (expected,) = torch.autograd.grad(logits.gather(1, batch.labels[:, None]).sum(), grid)
    trace = Trace(classifier, batch)
    torch.testing.assert_close(trace.activations, grid)
    torch.testing.assert_close(trace.gradients, expected)
    torch.testing.assert_close(trace.logits, logits)


def test_an_in_place_operation_behind_the_layer_does_not_reach_the_activations(batch: Batch) -> None:
    classifier = toy_classifier()
    trace = Trace(classifier, batch, layer="norm1")  # an in-place ReLU follows it
    expected = classifier.network.norm1(classifier.network.conv1((batch.images - classifier.mean) / classifier.std))
    torch.testing.assert_close(trace.activations, expected)
    assert (trace.activations < 0).any()


@pytest.mark.parametrize(("rule", "place"), [("predicted", 0), ("runner_up", 1), ("least_likely", -1)])
def test_rules_choose_by_rank_of_the_logit(classifier: Classifier, batch: Batch, rule: str, place: int) -> None:
    trace = Trace(classifier, batch, target=rule)
    assert torch.equal(trace.targets, trace.logits.argsort(1, descending=True)[:, place])
    assert torch.equal(trace.target_logits, trace.logits[range(4), trace.targets])


def test_a_classifier_without_layer_still_has_logits() -> None:
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=0, std=1)
    batch = Batch(("a",), torch.rand(1, 3, 2, 2), torch.tensor([0]))
    trace = Trace(classifier, batch)
    assert trace.logits.shape == (1, 3)
    assert trace.logits.shape == (1, 3)
    assert classifier.passes == PassCounts(forward=1)
    with pytest.raises(UsageError, match="no target layer is known for custom"):
        trace.activations  # noqa: B018 - reading it is the point


def test_a_layer_that_leads_nowhere_is_refused() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(3, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.side(images)
            return self.fc(images.mean((2, 3)))

    trace = Trace(Classifier(Dead(), "side", mean=0, std=1), toy_batch(1))
    with pytest.raises(UsageError, match="'side' does not lead to the logits"):
        trace.gradients  # noqa: B018 - reading it is the point


def test_random_numbers_of_an_image_do_not_depend_on_its_place(classifier: Classifier, batch: Batch) -> None:
    whole, part = Trace(classifier, batch, seed=4), Trace(classifier, batch.part(2, 3), seed=4)
    first, second = (torch.rand(3, generator=trace.random(index, "x")) for trace, index in ((whole, 2), (part, 0)))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(3, generator=whole.random(2, "y")))


def test_a_method_at_another_layer_is_charged_for_its_own_pass_only() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        _ = trace.gradients
        trace.usage.usage_since_last_call()
        _ = trace.at("conv2").gradients
        assert trace.usage.usage_since_last_call().passes == PassCounts(forward=4, tail_backward=4)


def test_the_memory_of_a_trace_is_free_as_soon_as_it_is_dropped() -> None:
    """Without Python's search for cycles, which may come after many batches."""
    classifier, kept = toy_classifier(), list[ref[Trace]]()

    def mine(trace: Trace) -> Tensor:
        kept.append(ref(trace))
        return trace.gradients.mean(1)

    gc.collect()
    gc.disable()
    try:
        camdbench.explain(classifier, toy_batch(3).images, {"mine": mine}, batch_size=2)
        trace = Trace(classifier, toy_batch(2), target=1)
        other = trace.of(trace.batch, targets=trace.targets)
        assert other.gradients.shape == trace.gradients.shape
        kept += [ref(trace), ref(other)]
        del trace, other
        assert [own() for own in kept] == [None] * 4
    finally:
        gc.enable()
