"""Derivatives of a trace beyond the target's gradient: of other combinations of logits, and of the second order."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import CLASSES, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")


def tail_of(classifier: Classifier, image: Tensor) -> tuple[Tensor, nn.Module]:
    """The activations of one image in float64 and the network's head, for a slow look."""
    network = classifier.network.double()
    seen = (image[None].double() - classifier.mean) / classifier.std
    return network.relu2(network.conv2(network.relu1(network.norm1(network.conv1(seen))))), network.head


@pytest.mark.parametrize("head", ["gap", "dense"])
def test_gradients_of_a_combination_of_logits_are_autograds(head: str) -> None:
    classifier, batch = toy_classifier(head), toy_batch()
    weights = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(3))
    with classifier.frozen():
        found = Trace(classifier, batch).gradients_of(weights)
        for index in range(4):
            grid, tail = tail_of(toy_classifier(head).requires_grad_(False), batch.images[index])
            grid.requires_grad_()
            (expected,) = torch.autograd.grad((tail(grid)[0] * weights[index]).sum(), grid)
            torch.testing.assert_close(found[index], expected[0])


@pytest.mark.parametrize(("head", "spent"), [("gap", 0), ("dense", 4)])
def test_gradients_of_a_combination_cost_one_tail_backward_pass_but_none_on_a_linear_head(head: str, spent: int) -> None:
    classifier = toy_classifier(head)
    with classifier.frozen():
        Trace(classifier, toy_batch()).gradients_of(torch.ones(4, CLASSES))
    assert classifier.passes == PassCounts(forward=4, tail_backward=spent)


def test_curvature_is_the_hessian_times_the_activations() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    with classifier.frozen():
        trace = Trace(classifier, batch)
        found = trace.curvature
        assert torch.equal(trace.curvature, found)
    assert classifier.passes == PassCounts(forward=4, tail_backward=8)
    for index in range(2):
        grid, tail = tail_of(toy_classifier("dense").requires_grad_(False), batch.images[index])
        hessian = torch.autograd.functional.hessian(lambda a, tail=tail, c=int(batch.labels[index]): tail(a)[0, c], grid)
        expected = torch.einsum("xkhwyabc,yabc->xkhw", hessian, grid)
        assert expected.abs().max() > 1e-3, "a flat function is not a reference"
        torch.testing.assert_close(found[index], expected[0])


def test_a_linear_head_has_no_curvature_and_asking_costs_nothing() -> None:
    classifier = toy_classifier("gap")
    with classifier.frozen():
        assert not Trace(classifier, toy_batch()).curvature.any()
    assert classifier.passes == PassCounts(forward=4)


def test_a_tail_that_is_linear_has_no_curvature_though_its_gradient_depends_on_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 4, stride=4), nn.Flatten(), nn.Linear(2 * 4 * 3, 5))
    assert not Trace(Classifier(network, "0", mean=0.5, std=0.25), toy_batch()).curvature.any()


class _Attention(nn.Module):
    """Tokens of 4 x 4 patches, fused attention with keys twice the queries, a head on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2))
        query, key, value = (tokens.unflatten(2, (2, 4)).transpose(1, 2) * scale for scale in (1.0, 2.0, 1.0))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.fc(mixed.mean(1).tanh())


def test_fused_attention_which_has_no_second_derivative_is_looked_at_in_its_plain_form() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _Attention().eval()
    classifier = Classifier(network, "norm", mean=0.5, std=0.25)
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with classifier.frozen():
        found = Trace(classifier, make_batch(images), target=1).curvature
    assert classifier.passes.forward == 2, "fused attention has learnt to differentiate twice: its plain form is not needed any more"
    tokens = network.norm(network.patches((images - 0.5) / 0.25).flatten(2).transpose(1, 2)).detach().double()

    def logit(tokens: Tensor) -> Tensor:
        query = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        weights = (query @ (2 * query).transpose(2, 3) / 2).softmax(-1)
        mixed = (weights @ query).transpose(1, 2).flatten(2)
        return (mixed.mean(1).tanh() @ network.fc.weight.detach().double().T)[0, 1]

    expected = torch.einsum("xtdyuv,yuv->xtd", torch.autograd.functional.hessian(logit, tokens), tokens)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected)
