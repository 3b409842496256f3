"""Explainers that pass the images in another way need no pass that captures a layer, and their logits serve others."""

from __future__ import annotations

import torch
from helpers.each import each
from helpers.toys import toy_batch, toy_classifier

from camdbench.explainers.common.trace import Trace
from camdbench.explainers.fullgrad import fullgrad
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.gradients import inputxgradient, saliency
from camdbench.models.pass_counts import PassCounts


@each("target", ["label", "predicted", torch.tensor([0, 1, 2, 0])])
@each("first", ["pixels", "layer"])
def test_a_pass_with_gradients_at_the_pixels_is_the_only_one_of_who_needs_no_other(target: str | torch.Tensor, first: str) -> None:
    """Each is charged as if it ran alone, whoever came first; the two that read the same gradients share them."""
    classifier, one = toy_classifier("gap"), PassCounts(forward=4, backward=4)
    with classifier.frozen():
        trace, alone, charged = (
            Trace(classifier, toy_batch(), target=target),
            Trace(classifier, toy_batch(), target=target),
            dict[str, PassCounts](),
        )
        _ = alone.activations
        order = (saliency, inputxgradient, fullgrad, gradcam)
        before = classifier.passes
        for method in order if first == "pixels" else order[::-1]:
            passes, shared = classifier.passes, trace.usage.spent().passes
            method(trace)
            outside = classifier.passes - passes - (trace.usage.spent().passes - shared)
            charged[method.__name__] = outside + trace.usage.usage_since_last_call().passes
            assert torch.equal(trace.targets, alone.targets)
            trace.usage.read.clear()
    assert charged == {"saliency": one, "inputxgradient": one, "fullgrad": one, "gradcam": PassCounts(forward=4, tail_backward=4)}
    assert classifier.passes - before == PassCounts(forward=12, backward=8, tail_backward=4)
    torch.testing.assert_close(trace.logits, alone.logits)


def test_logits_of_a_pass_with_gradients_at_the_pixels_serve_metrics() -> None:
    classifier = toy_classifier("gap")
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        saliency(trace)
        assert not trace.logits.requires_grad
        assert torch.equal(trace.logits, classifier(trace.images))
    assert classifier.passes == PassCounts(forward=4 + 4, backward=4)


def test_a_pass_in_bfloat16_gives_no_logits() -> None:
    classifier = toy_classifier("gap")
    classifier.precision = "bf16-all"
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        saliency(trace)
        assert torch.equal(trace.logits, classifier(trace.images))


def test_the_classes_stay_those_chosen_first() -> None:
    """Passes of two kinds round differently; classes chosen anew could differ where two logits are equal."""
    classifier = toy_classifier("gap")
    with classifier.frozen():
        trace = Trace(classifier, toy_batch(), target="predicted")
        trace.own_pass(lambda: classifier(trace.images).flip(1))
        first = trace.targets
        gradcam(trace)
        assert torch.equal(first, classifier(trace.images).flip(1).argmax(1))
        assert torch.equal(trace.targets, first)
        assert torch.equal(trace.at("conv2").targets, first)
        assert not torch.equal(trace.logits.argmax(1), first)


def test_another_class_of_the_same_images_leaves_charges_as_they_are() -> None:
    classifier, one = toy_classifier("gap"), PassCounts(forward=4, backward=4)
    with classifier.frozen():
        for method in (saliency, fullgrad):
            trace = Trace(classifier, toy_batch())
            method(trace.of(trace.batch, targets=torch.tensor([1, 1, 1, 1])))
            trace.usage.read.clear()
            passes, shared = classifier.passes, trace.usage.spent().passes
            method(trace)
            assert classifier.passes - passes - (trace.usage.spent().passes - shared) + trace.usage.usage_since_last_call().passes == one
