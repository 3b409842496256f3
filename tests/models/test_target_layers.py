"""Layers that are refused with one that works, and the survey that finds them."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.toys import toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.explainers.common.explain import explain
from camdbench.models import torchvision_zoo
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
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
            UsageError, match=r"'layer4.1.relu' of resnet18@random cannot be explained: runs 2 times.*use layer='layer4\.1\.relu\[-1\]'"
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
        assert found["relu2"] == ("relu2", "ReLU", 8, 8, 6, "", "", 0)
        assert {name: layer.followed_by for name, layer in found.items() if layer.followed_by} == {"norm1": "relu", "conv2": "relu"}
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
        with pytest.raises(UsageError, match=r"fails on an image of shape \(1, 3, 8, 8\) in float32: boom"):
            list_layers(classifier, (8, 8))
        assert not any(module._forward_hooks for module in classifier.modules())
        assert classifier.passes == PassCounts()


def test_a_network_that_cannot_be_observed_is_checked_in_another_pass() -> None:
    class Sparse(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.to_sparse()

    class Dense(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.to_dense()

    body = nn.Sequential(nn.Conv2d(3, 4, 3), Sparse(), Dense(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    classifier, images = Classifier(body.eval(), "0", mean=0, std=1), torch.rand(2, 3, 8, 8)
    assert explain(classifier, images, "saliency").maps.shape == (2, 8, 8)
    assert classifier.check_passes == PassCounts(forward=5, backward=1)  # the first pass failed while it was observed
    with pytest.raises(UsageError, match=r"its layers cannot be listed \(.*\); use an explainer without a layer"):
        explain(classifier, images, "gradcam")


class TestCalls:
    """A module that runs more than once: the call to take is offered, and its map is that of a module of its own there."""

    class Shared(nn.Module):
        def __init__(self, *, shared: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)
            self._swish = nn.SiLU()
            self.last = self._swish if shared else nn.SiLU()

        def forward(self, images: Tensor) -> Tensor:
            return 9 * self.head(self.last(self.second(self._swish(self.first(images)))).mean((2, 3)))

    def pair(self) -> tuple[Classifier, Classifier]:
        shared, apart = (Classifier(self.Shared(shared=shared).eval(), mean=0.5, std=0.5) for shared in (True, False))
        apart.layer = "last"
        return shared, apart

    def test_the_refusal_offers_the_last_call_and_the_listing_has_it(self) -> None:
        shared, _ = self.pair()
        with pytest.raises(UsageError, match=r"layer '_swish' .* runs 2 times in a forward pass; use layer='_swish\[-1\]'"):
            checked(shared, "_swish", (12, 10))
        found = {layer.name: layer for layer in list_layers(shared, (12, 10))}
        assert (found["_swish[-1]"].problem, found["_swish[-1]"].height, found["_swish[-1]"].width) == ("", 8, 6)
        assert found["second"].followed_by == "silu"  # its map is another one
        assert checked(shared, "_swish[-1]", (12, 10)) == "_swish[-1]"

    @each("spec", ["gradcam", "hirescam", "ablationcam", "opticam(iterations=3)", "scorecam"])
    def test_maps_are_those_of_a_module_of_its_own(self, spec: str) -> None:
        shared, apart = self.pair()
        images = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))
        expected = explain(apart, images, spec, targets=1).raw
        torch.testing.assert_close(explain(shared, images, spec, targets=1, layer="_swish[-1]").raw, expected)
        torch.testing.assert_close(explain(shared, images, spec, targets=1, layer="_swish[1]").raw, expected)

    def test_an_earlier_call_has_the_gradient_through_the_later_ones(self) -> None:
        shared, apart = self.pair()
        images = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))
        expected = explain(apart, images, "gradcam", targets=1, layer="_swish").raw
        torch.testing.assert_close(explain(shared, images, "gradcam", targets=1, layer="_swish[0]").raw, expected)

    def test_a_call_that_does_not_happen_is_refused(self) -> None:
        shared, _ = self.pair()
        with pytest.raises(UsageError, match=r"layer '_swish\[5\]' does not run"):
            explain(shared, torch.rand(1, 3, 12, 10), "gradcam", layer="_swish[5]")


def test_a_layer_whose_items_are_no_images_is_refused() -> None:
    class Windows(nn.Module):
        def forward(self, grid: Tensor) -> Tensor:
            return grid.unflatten(2, (2, 4)).permute(0, 2, 1, 3, 4).flatten(0, 1)  # (2 B, C, 4, 8)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.windows, self.head = nn.Conv2d(3, 4, 1), Windows(), nn.Linear(4, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.windows(self.conv(images)).mean((2, 3)).unflatten(0, (len(images), 2)).mean(1))

    with pytest.raises(UsageError, match="returns 2 items for one image, such as windows; use layer='conv'"):
        checked(Classifier(Network().eval(), mean=0, std=1, output="logits"), "windows", (8, 8))
