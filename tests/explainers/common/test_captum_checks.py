"""Networks and layers on which Captum is known to be wrong are refused, those on which it is right are not."""

from __future__ import annotations

import copy

import pytest
import torch
from captum import attr
from helpers.networks import random_network
from helpers.toys import maps_of, size_of, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.captum_checks import lrp_rules
from camdbench.explainers.common.foreign_objects import captum, explainer_from_object
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.models.classifier import Classifier


def network_of(*layers: nn.Module) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 6, 3), *layers, nn.Flatten(), nn.LazyLinear(5))
        network(torch.rand(1, 3, 16, 12))
    return Classifier(network.eval(), "0", mean=0.4, std=0.3)


class Residual(nn.Module):
    """A block with an addition that is not a module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.conv(images)


@pytest.mark.parametrize("name", ["DeepLift", "DeepLiftShap", "LayerDeepLift", "LayerDeepLiftShap"])
def test_deeplift_that_does_not_add_up_is_refused(name: str) -> None:
    for layers in ((nn.MaxPool2d(3, 2, 1), nn.ReLU()), (nn.GELU(),)):
        with pytest.raises(NotApplicable, match=rf"captum:{name} does not add up .* where the logit changes by .*; use deeplift"):
            maps_of(network_of(*layers), toy_batch(2), f"captum:{name}")
    maps_of(network_of(nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.Tanh()), toy_batch(2), f"captum:{name}")


def test_the_sum_that_is_refused_is_captums_own() -> None:
    classifier, images = network_of(nn.MaxPool2d(3, 2, 1), nn.ReLU()), toy_batch(2).images
    start = torch.zeros_like(images)
    with pytest.warns(UserWarning, match="Setting forward"):
        deltas = attr.DeepLift(classifier).attribute(images.requires_grad_(), start, target=1, return_convergence_delta=True)[1]
    gained = (classifier(images) - classifier(start))[:, 1]
    assert (deltas.abs() / gained.abs()).max() > 0.05, "captum has fixed its max pooling: refuse it no more"


@pytest.mark.parametrize("name", ["LRP", 'LayerLRP(layer="0")'])
def test_relevance_that_is_not_conserved_is_refused(name: str) -> None:
    batch = toy_batch(2)
    with pytest.raises(NotApplicable, match="does not conserve relevance on this network"):
        maps_of(network_of(Residual(), nn.ReLU()), batch, f"captum:{name}")
    with pytest.raises(NotApplicable, match="GELU"):
        maps_of(network_of(nn.GELU()), batch, f"captum:{name}")
    maps_of(network_of(nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 6, 3), nn.ReLU()), batch, f"captum:{name}")


def test_relevance_is_conserved_on_a_plain_network_and_refused_on_a_residual_one() -> None:
    batch = make_batch(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    classifier, targets = random_network("small_vgg"), torch.tensor([3])
    found = maps_of(classifier, batch, "captum:LRP", target=targets).raw
    inputs = classifier.normalised(batch.images).requires_grad_()
    gradient = torch.autograd.grad(classifier.network(inputs)[0, 3], inputs)[0]
    expected = (inputs * gradient).sum(1).detach()  # Ancona et al. 2018, proposition 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * expected.abs().max().item())
    with pytest.raises(NotApplicable, match="conserve"):
        maps_of(random_network("resnet18"), batch, "captum:LRP", target=targets)


def test_rules_of_the_user_stay_and_nothing_else_does() -> None:
    network = toy_classifier().network
    rule = attr._utils.lrp_rules.GammaRule()
    network.conv2.rule = rule
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    with lrp_rules(network):
        attr.LRP(network).attribute(toy_batch(1).images.requires_grad_(), target=0)
    assert network.conv2.rule is rule
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before


def test_relevance_leaves_weights_and_the_graphs_of_the_trace_as_they_were() -> None:
    classifier, batch = toy_classifier().requires_grad_(False), toy_batch(2)
    classifier.network.conv2.rule = attr._utils.lrp_rules.GammaRule(gamma=1.0)  # changes weights during a call
    trace, weights = Trace(classifier, batch), classifier.weights_hash()
    expected = gradcam(Trace(classifier, batch))
    versions = [weight._version for weight in classifier.parameters()]
    for explainer in (captum("LRP"), captum("LayerLRP", layer="conv2")):
        first = explainer(trace)
        torch.testing.assert_close(explainer(trace), first, rtol=0, atol=0)
    assert [weight._version for weight in classifier.parameters()] == versions
    assert classifier.weights_hash() == weights
    torch.testing.assert_close(gradcam(trace), expected, rtol=0, atol=0)


def test_objects_of_relevance_are_made_with_the_network() -> None:
    classifier, batch = toy_classifier().requires_grad_(False), toy_batch(2)
    of_network, of_classifier = (explainer_from_object(attr.LRP(owner)) for owner in (classifier.network, classifier))
    assert of_network is not None
    assert of_classifier is not None
    torch.testing.assert_close(of_network(Trace(classifier, batch)), captum("LRP")(Trace(classifier, batch)))
    with pytest.raises(UsageError, match=r"make it with classifier\.network"):
        of_classifier(Trace(classifier, batch))


class TestLayers:
    @pytest.mark.parametrize("name", ["LayerGradCam", "GuidedGradCam"])
    def test_grad_cam_takes_channels_first_only(self, name: str) -> None:
        class Last(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.permute(0, 2, 3, 1)

        class First(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.permute(0, 3, 1, 2)

        classifier = network_of(nn.ReLU(), Last(), First())
        with pytest.raises(NotApplicable, match="takes the rows of this layer for channels; use g"):
            maps_of(classifier, toy_batch(2), f'captum:{name}(layer="2")')
        maps_of(classifier, toy_batch(2), f'captum:{name}(layer="3")')

    def test_tokens_are_no_channels(self) -> None:
        with pytest.raises(NotApplicable, match="takes the tokens of this layer for channels; use gradcam"):
            maps_of(toy_classifier("vit"), toy_batch(2, size=size_of("vit")), "captum:LayerGradCam")

    def test_a_layer_that_runs_twice_is_refused(self) -> None:
        relu = nn.ReLU()
        with pytest.raises(NotApplicable, match="runs 2 times in a pass"):
            maps_of(network_of(relu, nn.Conv2d(6, 6, 3), relu), toy_batch(2), 'captum:LayerActivation(layer="1[-1]")')

    def test_an_object_has_a_layer_of_its_network(self) -> None:
        classifier, batch = toy_classifier().requires_grad_(False), toy_batch(2)
        early = explainer_from_object(attr.LayerGradientXActivation(classifier, classifier.network.conv1))
        assert early is not None
        expected = maps_of(classifier, batch, 'hirescam(relu=False, layer="conv1")').raw
        torch.testing.assert_close(early(Trace(classifier, batch)), expected, rtol=1e-4, atol=1e-6)
        other = explainer_from_object(attr.LayerGradientXActivation(classifier, copy.deepcopy(classifier.network.conv1)))
        assert other is not None
        with pytest.raises(UsageError, match="its layer is not a module of the network"):
            other(Trace(classifier, batch))
