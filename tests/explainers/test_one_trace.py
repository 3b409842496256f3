"""All methods that read one trace, together: what they cost, and that none disturbs another."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.registries import explainers
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

FORWARD_ONLY = ("eigencam", "fem", "randomcam")
SHARED = ("gradcam", "gradcampp", "xgradcam", "hirescam", "elementwise", "layercam", "eigengradcam", *FORWARD_ONLY)
LINEAR = ("cam", "shapleycam", "finercam", "contrastivecam", "ablationcam")  # from the head's weights, where they are known


def run_all(
    classifier: Classifier, names: tuple[str, ...], layers: tuple[str | None, ...] = (None,)
) -> tuple[Trace, dict[str, torch.Tensor]]:
    """The maps of all methods from one trace."""
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        maps = dict[str, torch.Tensor]()
        for name in names:
            for layer in layers:
                spec = name if layer is None else f'{name}(layer="{layer}")'
                maps[spec] = saliency(trace, explainers.parse_one(spec)).raw
    return trace, maps


def test_on_a_linear_head_all_of_them_cost_one_forward_and_one_tail_backward_pass() -> None:
    trace, maps = run_all(toy_classifier("gap"), SHARED + LINEAR)
    assert len(maps) == 15
    assert trace.classifier.passes == PassCounts(forward=4, tail_backward=4)
    assert trace.usage.spent().passes == trace.classifier.passes


def test_elsewhere_too_but_for_those_that_ask_for_other_derivatives() -> None:
    classifier = toy_classifier("dense")
    run_all(classifier, SHARED)
    assert classifier.passes == PassCounts(forward=4, tail_backward=4)
    for name, more in (("finercam", 4), ("contrastivecam", 4), ("shapleycam", 3 * 4)):
        classifier.passes = PassCounts()
        run_all(classifier, (name,))
        assert classifier.passes == PassCounts(forward=4, tail_backward=more), name


def test_each_further_layer_costs_the_same_once_more() -> None:
    classifier = toy_classifier("dense")
    run_all(classifier, SHARED, (None, "conv2", "conv1"))
    assert classifier.passes == PassCounts(forward=3 * 4, tail_backward=3 * 4)


@pytest.mark.parametrize("name", FORWARD_ONLY)
def test_those_that_read_activations_only_cost_one_forward_pass(name: str) -> None:
    classifier = toy_classifier("dense")
    run_all(classifier, (name,))
    assert classifier.passes == PassCounts(forward=4)


@pytest.mark.parametrize("head", ["gap", "dense"])
def test_the_company_changes_no_map(head: str) -> None:
    names = SHARED + (LINEAR if head == "gap" else LINEAR[1:])
    _, together = run_all(toy_classifier(head), names)
    for name in names:
        assert torch.equal(run_all(toy_classifier(head), (name,))[1][name], together[name]), name
