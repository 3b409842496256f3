"""The layers that the papers explain are the defaults: VGG16-BN's layer 42, ResNet50's last block, the first norm of the last ViT block."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from torch import nn
from torchvision import models

from camdbench.models.target_layers import default_layer


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("vgg16_bn", "features.42", nn.ReLU),  # Opti-CAM: "layer 42"; 40 convolution, 41 norm, 43 pooling
        ("resnet50", "layer4.2", models.resnet.Bottleneck),  # Opti-CAM, CGC, SO-Loss, CFCE
        ("resnet18", "layer4.1", models.resnet.BasicBlock),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", nn.LayerNorm),
    ],
)
def test_of_torchvision(name: str, layer: str, kind: type[nn.Module]) -> None:
    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    assert default_layer(network) == layer
    assert isinstance(network.get_submodule(layer), kind)


def test_layer_42_stands_between_norm_and_pooling() -> None:
    with torch.device("meta"):
        features = models.vgg16_bn(weights=None).features
    assert [type(features[index]) for index in (40, 41, 42, 43)] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
    assert len(features) == 44


@each(
    ("name", "layer"),
    [
        ("vit_base_patch16_224", "blocks.11.norm1"),
        ("deit_base_patch16_224", "blocks.11.norm1"),
        ("deit_base_distilled_patch16_224", "blocks.11.norm1"),
        ("resnet50", "layer4.2"),
        ("vgg16_bn", "features.42"),
    ],
)
def test_of_timm(name: str, layer: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False)
    assert default_layer(network) == layer
