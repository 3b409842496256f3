"""The segmenter against torchvision's own assembly, and what it leaves of the classifier."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from helpers.toys import SIZE, size_of, toy_batch, toy_classifier
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCN, FCNHead

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.trainer.tasks.segmenter import Segmenter, channels_at, features


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(weights=None, num_classes=5)
    return Classifier(network.eval(), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


@pytest.mark.parametrize("backbone", ["frozen", "trained"])
def test_it_is_torchvisions_fcn_on_the_same_layer(classifier: Classifier, images: Tensor, backbone: str) -> None:
    ours = Segmenter(classifier, 512, 6, layer="layer4", backbone=backbone).eval()
    theirs = FCN(IntermediateLayerGetter(classifier.network, {"layer4": "out"}), FCNHead(512, 6)).eval()
    theirs.classifier.load_state_dict(ours.head.state_dict())
    expected: OrderedDict[str, Tensor] = theirs((images - classifier.mean) / classifier.std)
    assert torch.equal(ours(images), expected["out"])


def test_end_to_end_gradients_are_torchvisions(classifier: Classifier, images: Tensor) -> None:
    ours = Segmenter(classifier, 512, 6, layer="layer4", backbone="trained").eval()
    theirs = FCN(IntermediateLayerGetter(classifier.network, {"layer4": "out"}), ours.head).eval()
    weights = [parameter for name, parameter in classifier.network.named_parameters() if not name.startswith("fc.")]
    expected = torch.autograd.grad(theirs((images - classifier.mean) / classifier.std)["out"].square().sum(), weights)
    found = torch.autograd.grad(ours(images).square().sum(), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_classifier_gets_no_gradient(classifier: Classifier, images: Tensor) -> None:
    segmenter = Segmenter(classifier, 512, 6, layer="layer4", backbone="frozen")
    with segmenter.training_mode():
        segmenter(images).sum().backward()
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(parameter.grad is not None for parameter in segmenter.head.parameters())
    assert classifier.passes.total() == classifier.passes.forward == 2


@pytest.mark.parametrize("backbone", ["frozen", "trained"])
def test_modes_and_flags_come_back(classifier: Classifier, backbone: str) -> None:
    classifier.network.layer1.train()
    classifier.network.conv1.requires_grad_(False)
    before = [module.training for module in classifier.modules()], [p.requires_grad for p in classifier.parameters()]
    segmenter = Segmenter(classifier, 512, 6, layer="layer4", backbone=backbone)
    with segmenter.training_mode():
        modes = {module.training for module in classifier.modules()}
        assert modes == {backbone == "trained"}
        assert {p.requires_grad for p in classifier.parameters()} == modes
        assert segmenter.head.training
    with segmenter.evaluating():
        assert not any(module.training for module in segmenter.modules() if module is not segmenter)
        assert not torch.is_grad_enabled()
    assert before == ([module.training for module in classifier.modules()], [p.requires_grad for p in classifier.parameters()])


@pytest.mark.parametrize(("toy", "grid"), [("gap", (8, 8, 6)), ("vit", (16, 4, 4))])
def test_features_are_channels_over_places(toy: str, grid: tuple[int, ...]) -> None:
    own, size = toy_classifier(toy), size_of(toy)
    given = toy_batch(size=size).images
    found = features(own, given, own.layer_name())
    assert found.shape == (4, *grid)
    assert not found.requires_grad
    seen: list[Tensor] = []
    handle = own.module(own.layer_name()).register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    own.network((given - own.mean) / own.std)
    handle.remove()
    expected = seen[0] if toy == "gap" else seen[0][:, 1:].transpose(1, 2).reshape(4, 16, 4, 4)
    torch.testing.assert_close(found, expected)


def test_a_layer_without_a_grid_or_with_too_few_channels_is_refused() -> None:
    own, image = toy_classifier("gap"), toy_batch().images[0]
    assert channels_at(own, "conv1", image) == 6
    with pytest.raises(UsageError, match=r"layer 'head\.2' returns shape .* no grid of places"):
        channels_at(own, "head.2", image)
    with pytest.raises(UsageError, match="toy-gap: no layer 'conv3'; did you mean"):
        channels_at(own, "conv3", image)
    thin = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(UsageError, match="layer '0' has 3 channels, and the head needs 4"):
        channels_at(Classifier(thin, "0", mean=0.5, std=0.5), "0", image)
    with pytest.raises(UsageError, match="does not take images of 16 x 12 pixels"):
        channels_at(toy_classifier("vit"), "encoder.layers.encoder_layer_1.ln_1", torch.zeros(3, *SIZE))
