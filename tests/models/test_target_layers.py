"""Layers that are refused with one that works, and the survey that finds them."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models import torchvision_zoo
from camdbench.models.classifier import Classifier, PassCounts
from camdbench.models.target_layers import check_layer, list_layers


def checked(classifier: Classifier, layer: str | None, size: tuple[int, int]) -> str:
    return check_layer(classifier, layer, list_layers(classifier, size))


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
        with pytest.raises(UsageError, match=r"resnet18@random: no layer 'layer4\.-1'.*(see: camdbench layers)"):
            checked(classifier, "layer4.-1", (96, 96))
        with pytest.raises(UsageError, match=r"did you mean .*'layer4\.1\.conv1'"):
            checked(classifier, "layer4.1.conv11", (96, 96))

    @pytest.mark.parametrize("name", ["", "network.relu2"])
    def test_names_outside_the_network(self, name: str) -> None:
        with pytest.raises(UsageError, match="toy-gap: no layer"):
            checked(toy_classifier(), name, (16, 12))

    def test_a_network_in_which_nothing_can_be_explained(self) -> None:
        classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=0, std=1)
        with pytest.raises(UsageError, match="no layer of this network can be explained"):
            checked(classifier, "0", (2, 2))


class TestSurvey:
    def test_lists_every_layer_in_order_with_its_shape(self) -> None:
        found = {layer.name: layer for layer in list_layers(toy_classifier(), (16, 12))}
        assert list(found)[:5] == ["conv1", "norm1", "relu1", "conv2", "relu2"]
        assert found["relu2"] == ("relu2", "ReLU", 8, 8, 6, "")
        assert found["conv1"].problem == ""
        assert found["head"].problem

    @pytest.mark.parametrize("training", [False, True])
    def test_leaves_the_network_as_it_was_and_counts_no_pass(self, training: bool) -> None:
        classifier = toy_classifier().train(training)
        before, buffers = classifier.weights_hash(), classifier.network.norm1.running_mean.clone()
        list_layers(classifier, (16, 12))
        assert classifier.passes == PassCounts()
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
            list_layers(classifier, (8, 8))
        assert not any(module._forward_hooks for module in classifier.modules())
        assert classifier.passes == PassCounts()
