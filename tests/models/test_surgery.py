"""Surgery: the grid, the weights that stay, and class maps that add up to the logits."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from torch import nn
from torchvision import models

from camdbench.core.errors import CamdbenchError, NotApplicable, UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.networks import build_network
from camdbench.models.shortcuts_net import LAYER
from camdbench.models.surgery import apply_surgery, check_additive, surgery_of


def _network(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_network(name, 5).eval()


def _classifier(network: nn.Module) -> Classifier:
    return Classifier(network, LAYER if hasattr(network, "layer3") and not hasattr(network, "layer4") else "layer4.1", mean=0.5, std=0.25)


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@each(("name", "grid"), [("shortcuts", 8), ("resnet18", 2)])
@each("stride", [1, "original"])
@each("relus", ["paper", "release"])
def test_maps_are_signed_on_the_grid_and_add_up_to_the_logits(name: str, grid: int, stride: int | str, relus: str) -> None:
    network = apply_surgery(_network(name), stride=stride, relus=relus)
    classifier = _classifier(network)
    check_additive(classifier, IMAGES)
    with torch.no_grad(), classifier.captured() as seen:
        logits = classifier(IMAGES)
    output = seen.output().detach()
    assert output.shape[-1] == (2 * grid if stride == 1 else grid)
    assert output.min() < 0 < output.max()
    maps = torch.einsum("ck,bkhw->bchw", network.fc.weight.detach(), output) / output[0, 0].numel()
    torch.testing.assert_close(maps.sum((2, 3)), logits, rtol=1e-4, atol=1e-5)
    assert surgery_of(network) == {"stride": stride, "relus": relus}


@pytest.mark.parametrize("name", ["shortcuts", "resnet18"])
def test_the_weights_that_remain_are_the_same(name: str) -> None:
    network = _network(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    after = apply_surgery(network).state_dict()
    for key, value in after.items():
        assert torch.equal(value, before[key.replace("bn1.0", "bn1")])
    assert "fc.bias" not in after


def test_the_papers_block_is_read_literally() -> None:
    """conv, norm, ReLU, conv, and the sum: of torchvision's own modules, called one by one."""
    network = _network("resnet18")
    block = network.layer4[1]
    image = torch.randn(2, 512, 3, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        literal = block.conv2(block.bn1(block.conv1(image)).relu()) + image
        released = block.conv2(block.bn1(block.conv1(image))) + image
        torch.testing.assert_close(apply_surgery(network).layer4[1](image), literal)
        torch.testing.assert_close(apply_surgery(_network("resnet18"), relus="release").layer4[1](image), released)


def test_a_bottleneck_too() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.ResNet(models.resnet.Bottleneck, [1, 1, 1, 2], num_classes=3).eval()
    block = network.layer4[1]
    image = torch.randn(1, 2048, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        literal = block.conv3(block.bn2(block.conv2(block.bn1(block.conv1(image)).relu())).relu()) + image
        opened = apply_surgery(network)
        torch.testing.assert_close(opened.layer4[1](image), literal)
        assert opened.layer4[0].conv2.stride == opened.layer4[0].downsample[0].stride == (1, 1)
    check_additive(Classifier(opened, "layer4.1", mean=0.5, std=0.25), IMAGES)


def test_a_bias_or_another_head_is_noticed() -> None:
    network = apply_surgery(_network("resnet18"))
    network.fc.bias = nn.Parameter(torch.ones(5))
    with pytest.raises(CamdbenchError, match="has a bias"):
        check_additive(_classifier(network), IMAGES)
    network.fc = nn.Sequential(nn.Linear(512, 16), nn.ReLU(), nn.Linear(16, 5))
    with pytest.raises(NotApplicable):
        check_additive(_classifier(network), IMAGES)


def test_twice_or_on_another_network_is_refused() -> None:
    with pytest.raises(UsageError, match="already modified"):
        apply_surgery(apply_surgery(_network("shortcuts")))
    with pytest.raises(UsageError, match="unsupported for Linear"):
        apply_surgery(nn.Linear(2, 2))
