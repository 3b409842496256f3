"""Real architectures with random weights, frozen: those of torchvision, and two of its classes at a size that costs no seconds."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import VGG, VisionTransformer
from torchvision.models.vgg import cfgs, make_layers

from camdbench.models import torchvision_zoo
from camdbench.models.classifier import Classifier

CLASSES = 1000


def side_of(name: str, otherwise: int) -> int:
    """The side of the images that a network takes; any other takes many."""
    return 32 if name == "small_vit" else otherwise


def random_network(name: str) -> Classifier:
    """A network of the zoo; `small_vgg` is VGG-11 with batch norms and narrow dense layers, `small_vit` a transformer of two blocks."""
    if name == "small_vgg":
        classifier = Classifier(_small_vgg(), mean=0.5, std=0.25, name=name)
    elif name == "small_vit":
        classifier = Classifier(_small_vit(), mean=0.5, std=0.25, name=name, input_size=32)
    else:
        classifier = torchvision_zoo.build(name, "random", None, download=False)
    return classifier.eval().requires_grad_(False)


def _small_vgg() -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = VGG(nn.Identity(), init_weights=False)  # its dense layers have 124 million weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide, width, *_ = (module.in_features for module in network.classifier if isinstance(module, nn.Linear))
        width //= 64
        network.features = make_layers(cfgs["A"], batch_norm=True)
        network.classifier[0], network.classifier[3], network.classifier[6] = (
            nn.Linear(wide, width),
            nn.Linear(width, width),
            nn.Linear(width, CLASSES),
        )
        for module in network.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _small_vit() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=CLASSES)
        nn.init.normal_(network.heads.head.weight)  # torchvision starts it at zero
    return network
