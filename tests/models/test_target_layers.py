"""Default target layers of torchvision's families, and layers that are refused with one that works."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from toys import toy_classifier

from camdbench.core.errors import UsageError
from camdbench.datasets.memory import batch_in_memory
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.trace import Trace
from camdbench.models import torchvision_zoo
from camdbench.models.classifier import Classifier, Passes
from camdbench.models.target_layers import _FAMILIES, check_layer, default_layer, survey


def checked(classifier: Classifier, layer: str | None, size: tuple[int, int]) -> str:
    return check_layer(classifier, layer, survey(classifier, size))


class Member(NamedTuple):
    """One network of a family: its class, the side of the images, its target layer, and that layer's channels and grid."""

    family: str
    side: int
    layer: str
    channels: int
    grid: int


MEMBERS = {
    "alexnet": Member("AlexNet", 96, "features.11", 256, 5),
    "convnext_tiny": Member("ConvNeXt", 96, "features.7", 768, 3),
    "densenet121": Member("DenseNet", 96, "features", 1024, 3),
    "efficientnet_b0": Member("EfficientNet", 96, "features.8", 1280, 3),
    "efficientnet_v2_s": Member("EfficientNet", 96, "features.7", 1280, 3),
    "googlenet": Member("GoogLeNet", 96, "inception5b", 1024, 3),
    "inception_v3": Member("Inception3", 128, "Mixed_7c", 2048, 2),
    "maxvit_t": Member("MaxVit", 224, "blocks.3", 512, 7),
    "mnasnet0_5": Member("MNASNet", 96, "layers", 1280, 3),
    "mobilenet_v2": Member("MobileNetV2", 96, "features.18", 1280, 3),
    "mobilenet_v3_small": Member("MobileNetV3", 96, "features.12", 576, 3),
    "regnet_y_400mf": Member("RegNet", 96, "trunk_output", 440, 3),
    "resnet18": Member("ResNet", 96, "layer4.1", 512, 3),
    "resnext50_32x4d": Member("ResNet", 96, "layer4.2", 2048, 3),
    "shufflenet_v2_x0_5": Member("ShuffleNetV2", 96, "conv5", 1024, 3),
    "squeezenet1_1": Member("SqueezeNet", 96, "features.12", 512, 5),
    "swin_t": Member("SwinTransformer", 96, "features.7.1", 768, 3),
    "swin_v2_t": Member("SwinTransformer", 96, "features.7.1", 768, 3),
    "vgg11": Member("VGG", 96, "features.19", 512, 6),
    "vgg16_bn": Member("VGG", 96, "features.42", 512, 6),
    "vit_b_32": Member("VisionTransformer", 224, "encoder.layers.encoder_layer_11.ln_1", 768, 7),
}


def test_every_family_has_a_member() -> None:
    assert {member.family for member in MEMBERS.values()} == set(_FAMILIES)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_default_layer_of_a_family_can_be_explained(name: str) -> None:
    member = MEMBERS[name]
    classifier = torchvision_zoo.build(name, "random", None, download=False).eval()
    assert type(classifier.network).__mro__[0].__name__ == member.family or member.family in {
        k.__name__ for k in type(classifier.network).__mro__
    }
    assert classifier.layer == member.layer
    assert checked(classifier, None, (member.side, member.side)) == member.layer
    images = torch.rand(1, 3, member.side, member.side, generator=torch.Generator().manual_seed(0))
    with classifier.frozen():
        trace = Trace(classifier, batch_in_memory(images), target=1)
        assert trace.activations.shape == (1, member.channels, member.grid, member.grid)
        assert gradcam(trace, relu=False).abs().max() > 0


def test_a_network_of_another_house_has_no_default() -> None:
    assert default_layer(nn.Sequential(nn.Conv2d(3, 4, 1))) is None
    with pytest.raises(UsageError, match=r"no target layer is known for custom \(Sequential\); name one with layer="):
        checked(Classifier(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), mean=0, std=1), None, (8, 8))


class TestRefusal:
    def test_the_output_of_the_last_vit_block_whose_patches_reach_no_logit(self) -> None:
        classifier = torchvision_zoo.build("vit_b_32", "random", None, download=False).eval()
        with pytest.raises(
            UsageError, match=r"gradient is exactly zero at every place; use layer='encoder\.layers\.encoder_layer_11\.ln_1'"
        ):
            checked(classifier, "encoder.layers.encoder_layer_11", (224, 224))

    def test_a_relu_that_a_block_uses_twice(self) -> None:
        classifier = torchvision_zoo.build("resnet18", "random", None, download=False).eval()
        with pytest.raises(
            UsageError, match=r"'layer4.1.relu' of resnet18@random cannot be explained: runs 2 times.*use layer='layer4\.1'"
        ):
            checked(classifier, "layer4.1.relu", (96, 96))

    def test_a_grid_of_one_cell(self) -> None:
        classifier = torchvision_zoo.build("resnet18", "random", None, download=False).eval()
        with pytest.raises(UsageError, match=r"its grid has a single cell; use layer='layer4\.1'"):
            checked(classifier, "avgpool", (96, 96))
        with pytest.raises(UsageError, match="its grid has a single cell; use layer='"):
            checked(classifier, None, (32, 32))

    def test_a_layer_without_a_grid(self) -> None:
        with pytest.raises(UsageError, match=r"layer 'head.2' of toy-gap cannot be explained: no grid of places in its output"):
            checked(toy_classifier(), "head.2", (16, 12))

    def test_a_layer_that_does_not_run(self) -> None:
        classifier = toy_classifier()
        classifier.network.spare = nn.Conv2d(3, 3, 1)
        with pytest.raises(UsageError, match="does not run in a forward pass"):
            checked(classifier, "spare", (16, 12))

    def test_an_unknown_layer_gets_the_nearest_name(self) -> None:
        classifier = torchvision_zoo.build("resnet18", "random", None, download=False).eval()
        with pytest.raises(UsageError, match=r"no layer in resnet18@random 'layer4\.-1'.*(see: camdbench layers)"):
            checked(classifier, "layer4.-1", (96, 96))
        with pytest.raises(UsageError, match=r"did you mean .*'layer4\.1\.conv1'"):
            checked(classifier, "layer4.1.conv11", (96, 96))

    @pytest.mark.parametrize("name", ["", "network.relu2"])
    def test_names_outside_the_network(self, name: str) -> None:
        with pytest.raises(UsageError, match="no layer in toy-gap"):
            checked(toy_classifier(), name, (16, 12))

    def test_a_network_in_which_nothing_can_be_explained(self) -> None:
        classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=0, std=1)
        with pytest.raises(UsageError, match="no layer of this network can be explained"):
            checked(classifier, "0", (2, 2))


class TestSurvey:
    def test_lists_every_layer_in_order_with_its_shape(self) -> None:
        found = {layer.name: layer for layer in survey(toy_classifier(), (16, 12))}
        assert list(found)[:5] == ["conv1", "norm1", "relu1", "conv2", "relu2"]
        assert found["relu2"] == ("relu2", "ReLU", 8, 8, 6, "")
        assert found["conv1"].problem == ""
        assert found["head"].problem

    @pytest.mark.parametrize("training", [False, True])
    def test_leaves_the_network_as_it_was_and_counts_no_pass(self, training: bool) -> None:
        classifier = toy_classifier().train(training)
        before, buffers = classifier.weights_hash(), classifier.network.norm1.running_mean.clone()
        survey(classifier, (16, 12))
        assert classifier.passes == Passes()
        assert classifier.weights_hash() == before
        assert torch.equal(classifier.network.norm1.running_mean, buffers)
        assert classifier.network.norm1.training is training
        assert not any(module._forward_hooks for module in classifier.modules())
        assert all(parameter.grad is None for parameter in classifier.parameters())

    def test_survives_a_module_that_fails(self) -> None:
        class Fails(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                raise RuntimeError("boom")

        classifier = Classifier(nn.Sequential(nn.Conv2d(3, 4, 1), Fails()), "0", mean=0, std=1)
        with pytest.raises(UsageError, match=r"does not take images of 8 x 8 pixels \(boom\)"):
            survey(classifier, (8, 8))
        assert not any(module._forward_hooks for module in classifier.modules())
        assert classifier.passes == Passes()
