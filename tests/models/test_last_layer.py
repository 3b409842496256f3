"""The last layer: found in every family of torchvision and in timm, and replaced without a change to any other weight."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.last_layer import last_layers, with_classes
from camdbench.models.meta_network import on_meta_device
from camdbench.models.networks import build_network, input_of, without_side_heads

# One of each family; what torchvision's own documentation of fine-tuning, or its source, calls the layer.
TORCHVISION = {
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "maxvit_t": "classifier.5",
    "mnasnet0_5": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
    "squeezenet1_1": "classifier.1",
    "swin_t": "head",
    "vgg16_bn": "classifier.6",
    "vit_b_16": "heads.head",
}
TIMM = ("test_vit", "test_convnext", "test_efficientnet", "test_resnet", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224")


@pytest.mark.parametrize("name", TORCHVISION)
def test_it_is_the_one_that_torchvision_calls_so(name: str) -> None:
    network = on_meta_device(lambda: build_network(name, 7))
    [found] = last_layers(network)
    assert found is network.get_submodule(TORCHVISION[name])


@pytest.mark.parametrize("name", [*TORCHVISION, *(f"timm/{name}" for name in TIMM)])
def test_with_another_number_of_classes_it_says_so_many_logits(name: str) -> None:
    """Shapes only, so that large networks cost nothing; torch works them out layer by layer."""
    network = with_classes(on_meta_device(lambda: build_network(name, 7)), 3).eval()
    size = input_of(name).size
    with torch.device("meta"):
        assert network(torch.empty(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize(
    "name", ["shortcuts", "squeezenet1_1", "mobilenet_v3_small", "timm/test_vit", "timm/deit_tiny_distilled_patch16_224"]
)
def test_all_other_weights_are_kept_and_the_new_ones_are_awake(name: str) -> None:
    network = build_network(name, 7)
    before, own = deepcopy(network.state_dict()), {id(p) for p in last_layers(network).parameters()}
    heads = {key for key, parameter in network.named_parameters() if id(parameter) in own}
    after = with_classes(network, 3).state_dict()
    assert set(after) == set(before)
    changed = {key for key in before if before[key].shape != after[key].shape or not torch.equal(before[key], after[key])}
    assert changed == heads
    assert all(bool(after[key].any()) for key in heads)
    assert len(last_layers(network)) == (2 if "distilled" in name else 1)


def test_as_many_classes_as_there_are_change_nothing() -> None:
    network = build_network("resnet18", 5)
    layer = network.fc
    assert with_classes(network, 5).fc is layer


def test_a_layer_without_bias_gets_none() -> None:
    [layer] = last_layers(with_classes(build_network("shortcuts", 5), 3))
    assert layer.bias is None


def test_a_network_of_another_house_is_refused() -> None:
    with pytest.raises(UsageError, match="Linear: cannot find the classification layer"):
        with_classes(nn.Linear(2, 2), 3)


def test_side_heads_are_taken_out() -> None:
    from torchvision import models

    network = models.googlenet(weights=None, num_classes=4, aux_logits=True, init_weights=False)
    plain = without_side_heads(network).train()
    assert plain(torch.zeros(2, 3, 64, 64)).shape == (2, 4)
    assert not [key for key in plain.state_dict() if key.startswith("aux")]


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(UsageError, match="no network 'vgg'; did you mean 'vgg"):
        build_network("vgg", 3)


def test_regnet_has_a_skeleton_too() -> None:
    [layer] = last_layers(on_meta_device(lambda: build_network("regnet_x_400mf", 3)))
    assert layer.out_features == 3
