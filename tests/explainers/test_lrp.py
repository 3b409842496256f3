"""LRP against zennit, where zennit is right, by conservation where it is not, and refusals with the amount."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.each import each
from helpers.networks import random_network
from helpers.toys import drawn, maps_of, settled, toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models.vgg import VGG, cfgs, make_layers
from zennit.attribution import Gradient
from zennit.composites import COMPOSITES, LayerMapComposite, layer_map_base
from zennit.rules import Epsilon
from zennit.torchvision import ResNetCanonizer, VGGCanonizer
from zennit.types import Linear

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.lrp import lrp
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")

NAMES = ("epsilon_plus_flat", "epsilon_plus", "epsilon_alpha2_beta1_flat", "epsilon_alpha2_beta1", "epsilon_gamma_box", "epsilon")
CLASSES = torch.tensor([3, 7])


def drawn_statistics(network: nn.Module) -> None:
    """Draw batch norms; their eps is in the variance, because zennit's merged batch norms keep it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2).add_(module.eps)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            module.eps = 0.0


def network_of(name: str) -> nn.Module:
    with drawn():
        if name == "resnet18":
            network: nn.Module = resnet18(num_classes=10)
        elif name == "timm":
            network = pytest.importorskip("timm").create_model("resnet18", num_classes=10)
        else:
            network = VGG(make_layers(cfgs["A"], batch_norm=True), num_classes=10, init_weights=False)
            network.avgpool, network.classifier = nn.AdaptiveAvgPool2d(2), nn.Sequential(nn.Linear(2048, 64), nn.ReLU(), nn.Linear(64, 10))
        drawn_statistics(network)
    return settled(network).requires_grad_(False)


def trace_of(network: nn.Module, side: int = 32) -> Trace:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    return Trace(Classifier(network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), name="net"), make_batch(images), target=CLASSES)


def of_zennit(trace: Trace, name: str, canonizer: Any) -> Tensor:
    """Relevance (B, H, W) by zennit, from ones at the classes."""
    ends = [trace.classifier.normalised(torch.full((1, 3, 1, 1), end)) for end in (0.0, 1.0)]
    canonizers = [canonizer()]
    if name == "epsilon":
        composite = LayerMapComposite([*layer_map_base(), (Linear, Epsilon())], canonizers=canonizers)
    else:
        box = {"low": ends[0], "high": ends[1]} if name.endswith("box") else {}
        composite = COMPOSITES[name](canonizers=canonizers, **box)
    images = trace.classifier.normalised(trace.images)
    with Gradient(trace.classifier.network, composite=composite) as attributor:
        return attributor(images, F.one_hot(CLASSES, 10).double())[1].sum(1)


def without_biases(network: nn.Module) -> nn.Module:
    for module in network.modules():
        for name in ("bias", "running_mean"):
            if isinstance(values := getattr(module, name, None), Tensor):
                values.data.zero_()
    return network


@each("name", NAMES)
@each(("network", "canonizer"), [("resnet18", ResNetCanonizer), ("vgg11_bn", VGGCanonizer)])
def test_is_zennits_on_networks_that_its_canonisers_know(network: str, canonizer: Any, name: str) -> None:
    trace = trace_of(network_of(network))
    before = trace.logits.clone()
    found, expected = lrp(trace, composite=name), of_zennit(trace, name, canonizer)
    scale = expected.abs().amax()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-10)
    assert torch.equal(trace.classifier(trace.images), before)


def test_relevance_without_biases_is_one_on_timms_resnet_where_zennit_doubles_it_eight_times() -> None:
    trace = trace_of(without_biases(network_of("timm")))
    for name in NAMES:
        torch.testing.assert_close(lrp(trace, composite=name).sum((1, 2)), torch.ones(2), rtol=0, atol=1e-3)
    doubled = of_zennit(trace, "epsilon_plus", ResNetCanonizer).sum((1, 2))
    torch.testing.assert_close(doubled, torch.full((2,), 256.0), rtol=1e-2, atol=0)
    assert of_zennit(trace_of(without_biases(network_of("resnet18"))), "epsilon_plus", ResNetCanonizer).sum() == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "small_vgg", "densenet121"])
def test_relevance_without_biases_is_one_on_real_networks(name: str) -> None:
    classifier = random_network(name)
    without_biases(classifier.network.double())
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    found = lrp(Trace(classifier, make_batch(images), target="predicted"))
    assert found.sum().item() == pytest.approx(1, abs=1e-3)


def test_starts_from_a_one_or_from_the_logit() -> None:
    trace = trace_of(network_of("resnet18"))
    torch.testing.assert_close(lrp(trace, start="logit"), lrp(trace) * trace.target_logits[:, None, None], rtol=1e-9, atol=0)


class Functional(nn.Module):
    """The convolutions, batch norms and linear layer of a toy, called as functions."""

    def __init__(self, toy: Any) -> None:
        super().__init__()
        self.toy = toy

    def forward(self, images: Tensor) -> Tensor:
        toy = self.toy
        found = F.conv2d(images, toy.conv1.weight, toy.conv1.bias, stride=2, padding=1)
        norm = toy.norm1
        found = F.batch_norm(found, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu_()
        found = torch.relu(torch.conv2d(found, toy.conv2.weight, toy.conv2.bias, padding=1))
        return F.linear(found.mean((2, 3)), toy.head[2].weight, toy.head[2].bias)


def test_functions_have_the_rules_of_modules() -> None:
    toy, batch = toy_classifier("gap").requires_grad_(False), toy_batch()
    other = Classifier(Functional(toy.network), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    for name in ("epsilon_plus_flat", "epsilon_gamma_box"):
        expected = lrp(Trace(toy, batch), composite=name)
        torch.testing.assert_close(lrp(Trace(other, batch), composite=name), expected)
        alone = Classifier(toy.network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), batch_mates="alone")
        torch.testing.assert_close(lrp(Trace(alone, batch), composite=name), expected)


def test_colours_may_come_in_the_other_order() -> None:
    toy, batch = toy_classifier("gap").requires_grad_(False), toy_batch()
    turned = toy_classifier("gap").requires_grad_(False).network
    turned.conv1.weight.data = turned.conv1.weight.data.flip(1)
    bgr = Classifier(turned, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), channels="bgr")
    for name in NAMES[::2]:
        torch.testing.assert_close(lrp(Trace(bgr, batch), composite=name), lrp(Trace(toy, batch), composite=name))


class TestConservation:
    def test_is_checked_once_per_network_and_composite(self) -> None:
        classifier, batch = toy_classifier("gap"), toy_batch()
        spent = [self.checks_of(classifier, batch, "lrp") for _ in range(2)]
        assert spent == [PassCounts(forward=1, backward=1), PassCounts()]
        assert self.checks_of(classifier, batch, "lrp(epsilon=0.1, start=logit)") == PassCounts()
        assert self.checks_of(classifier, batch, "lrp(composite=epsilon)") == PassCounts(forward=1, backward=1)
        classifier.network.conv2.weight.data = classifier.network.conv2.weight.data.clone()  # a change of the network
        assert self.checks_of(classifier, batch, "lrp") == PassCounts(forward=1, backward=1)

    @staticmethod
    def checks_of(classifier: Classifier, batch: Any, spec: str) -> PassCounts:
        before = classifier.check_passes
        maps_of(classifier, batch, spec)
        return classifier.check_passes - before

    def test_a_network_that_gains_relevance_is_refused_with_the_amount(self) -> None:
        """Where all contributions are positive, the alpha-beta rule doubles relevance at each of two convolutions."""
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        for parameter in network.parameters():
            parameter.data.abs_()
        trace = Trace(
            Classifier(network.requires_grad_(False), mean=0, std=1, name="net"), make_batch(torch.rand(2, 3, 8, 8)), target=CLASSES
        )
        with pytest.raises(
            NotApplicable, match=r"lrp\(composite=epsilon_alpha2_beta1\) does not conserve .* on net: .* becomes 4 at the pixels"
        ):
            lrp(trace, composite="epsilon_alpha2_beta1")
        assert lrp(trace, composite="epsilon_plus").sum() > 0

    def test_a_network_without_relevance_is_refused(self) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10).requires_grad_(False)).double()
        network[1].weight.data.zero_()
        with pytest.raises(NotApplicable, match="becomes 0 at the pixels"):
            lrp(Trace(Classifier(network, mean=0, std=1), make_batch(torch.rand(2, 3, 8, 8)), target=CLASSES), composite="epsilon")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("small_vit", "lrp is not defined for the operation"),
        ("convnext_tiny", "NativeLayerNorm"),
        ("efficientnet_b0", "product or quotient"),
    ],
)
def test_a_network_with_another_operation_is_refused_by_name(name: str, message: str) -> None:
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(NotApplicable, match=message):
        lrp(Trace(random_network(name), make_batch(images), target=1))
