"""Classifier: what it takes, what it counts, and that it is left as it was found."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from helpers.each import each
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.models.target_layers import default_layer


class Returns(nn.Module):
    """A network that returns what it was told to, made from its pooled input."""

    def __init__(self, wrap: object) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, images: Tensor) -> object:
        return self.wrap(images.mean((2, 3)))


class ModelOutput(OrderedDict[str, Tensor]):
    """What networks of Hugging Face's transformers return: a dict whose keys are attributes too."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(loss=logits.sum(), logits=logits)
        self.logits = logits


class TestOutput:
    def test_images_need_not_be_square(self) -> None:
        """A user's own network: logits and gradients of the target layer for images of 24 x 40 pixels."""
        network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
        with classifier.frozen(), classifier.captured() as seen:
            logits = classifier(torch.rand(2, 3, 24, 40))
        assert logits.shape == (2, 5)
        assert seen.leaf.shape == (2, 4, 12, 20)

    @each(
        "wrap",
        [
            lambda logits: logits,
            lambda logits: (logits, None),
            lambda logits: [logits],
            lambda logits: SimpleNamespace(logits=logits),
            lambda logits: {"loss": None, "logits": logits},
            ModelOutput,
        ],
        ids=["tensor", "tuple", "list", "object with logits", "dict with logits", "ordered dict with attributes"],
    )
    def test_logits_are_found_in_what_networks_return(self, wrap: object) -> None:
        assert Classifier(Returns(wrap), mean=0, std=1)(torch.rand(2, 3, 4, 4)).shape == (2, 3)

    @pytest.mark.filterwarnings("default")  # the library's own remarks
    def test_a_network_of_hugging_face_is_explained_on_images_that_are_not_square(self) -> None:
        import camdbench

        transformers = pytest.importorskip("transformers")
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=4)
        network = transformers.ResNetForImageClassification(config).eval()
        classifier, images = Classifier(network, "resnet.encoder.stages.1", mean=0.5, std=0.25), torch.rand(2, 3, 32, 48)
        with torch.no_grad():
            assert torch.equal(classifier(images), network((images - 0.5) / 0.25).logits)
        assert camdbench.explain(classifier, images, "hirescam(relu=False)").maps.shape == (2, 32, 48)

    @pytest.mark.parametrize(
        ("wrap", "shape"),
        [
            (lambda x: x[:, :1], r"\(2, 1\)"),
            (lambda x: x[0], r"\(3,\)"),
            (lambda x: {"out": x}, "dict with the keys 'out', not 'logits'"),
            (lambda x: (), "tuple"),
        ],
        ids=["one class", "no batch", "dict", "empty tuple"],
    )
    def test_anything_else_is_refused(self, wrap: object, shape: str) -> None:
        with pytest.raises(UsageError, match=f"at least two classes; it returned {shape}"):
            Classifier(Returns(wrap), mean=0, std=1)(torch.rand(2, 3, 4, 4))


class TestNormalisation:
    def test_mean_and_std_are_applied_inside(self) -> None:
        images = torch.rand(2, 3, 4, 4)
        found = Classifier(Returns(lambda x: x), mean=(0.1, 0.2, 0.3), std=(1, 0.5, 0.25))(images)
        pooled = images.mean((2, 3))
        torch.testing.assert_close(found, (pooled - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([1.0, 0.5, 0.25]))

    def test_one_number_stands_for_three(self) -> None:
        images = torch.rand(2, 3, 4, 4)
        one, three = Classifier(Returns(lambda x: x), mean=0.5, std=0.2), Classifier(Returns(lambda x: x), mean=[0.5] * 3, std=[0.2] * 3)
        assert torch.equal(one(images), three(images))

    @each(
        ("given", "message"),
        [
            ({"mean": (0.1, 0.2)}, r"mean=\(0.1, 0.2\): expected one number or three"),
            ({"std": 0}, "std=0: must be positive"),
            ({"std": (1, -1, 1)}, "must be positive"),
            ({"mean": (123.675, 116.28, 103.53)}, r"mean=.*: on the scale of 0 to 255, .* divide by 255: 0.485, 0.456, 0.406"),
            ({"mean": 0.5, "std": 127.5}, "std=127.5: on the scale of 0 to 255"),
            ({"std": (1, 1, 2)}, "std=.*: on the scale of 0 to 255"),
        ],
    )
    def test_nonsense_is_refused(self, given: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            Classifier(Returns(lambda x: x), **({"mean": 0, "std": 1} | given))

    @pytest.mark.parametrize("std", [float("nan"), float("inf")])
    def test_statistics_that_are_not_finite_are_refused(self, std: float) -> None:
        with pytest.raises(UsageError, match="std="):
            Classifier(Returns(lambda x: x), mean=0, std=std)
        with pytest.raises(UsageError, match="mean="):
            Classifier(Returns(lambda x: x), mean=std, std=1)


class TestPasses:
    def test_every_image_is_counted_forward_and_backward(self) -> None:
        classifier = toy_classifier()
        classifier(toy_batch(3).images)
        assert classifier.passes == PassCounts(forward=3)
        images = toy_batch(2).images.requires_grad_()
        classifier(images).sum().backward()
        assert classifier.passes == PassCounts(forward=5, backward=2)

    def test_a_backward_pass_to_a_captured_layer_is_a_tail_pass(self) -> None:
        classifier = toy_classifier()
        with classifier.captured() as seen:
            logits = classifier(toy_batch(2).images)
        torch.autograd.grad(logits.sum(), seen.output())
        assert classifier.passes == PassCounts(forward=2, tail_backward=2)
        classifier(toy_batch(1).images.requires_grad_()).sum().backward()
        assert classifier.passes == PassCounts(forward=3, backward=1, tail_backward=2)

    def test_nothing_is_counted_where_no_gradient_flows(self) -> None:
        classifier = toy_classifier()
        with torch.no_grad():
            classifier(toy_batch(2).images)
        assert classifier.passes == PassCounts(forward=2)

    def test_they_add_up(self) -> None:
        total = PassCounts(1, 2, 3, 4) + PassCounts(10, 20, 30, 40)
        assert total == PassCounts(11, 22, 33, 44)
        assert total - PassCounts(1, 2, 3, 4) == PassCounts(10, 20, 30, 40)
        assert total.total() == 110


class TestFrozen:
    def test_modes_and_flags_come_back_each_to_its_own(self) -> None:
        classifier = toy_classifier().train()
        classifier.network.norm1.eval()
        classifier.network.conv1.weight.requires_grad_(False)
        with classifier.frozen():
            assert not any(module.training for module in classifier.modules())
            assert not any(parameter.requires_grad for parameter in classifier.parameters())
        assert classifier.training
        assert classifier.network.conv2.training
        assert not classifier.network.norm1.training
        assert [name for name, p in classifier.named_parameters() if not p.requires_grad] == ["network.conv1.weight"]

    def test_they_come_back_after_an_error_too(self) -> None:
        classifier = toy_classifier().train()
        with pytest.raises(KeyError), classifier.frozen():
            raise KeyError
        assert classifier.network.conv2.training
        assert classifier.network.conv2.weight.requires_grad

    def test_wrapping_a_network_does_not_change_its_mode(self) -> None:
        network = toy_classifier().network.train()
        assert Classifier(network, mean=0, std=1).training
        assert network.training


class TestCaptured:
    def test_the_hook_is_gone_after_an_error(self) -> None:
        classifier = toy_classifier()
        with pytest.raises(KeyError), classifier.captured():
            raise KeyError
        assert not any(module._forward_hooks for module in classifier.modules())
        classifier(toy_batch(1).images.requires_grad_()).sum().backward()
        assert classifier.passes.backward == 1
        assert classifier.passes.tail_backward == 0

    def test_a_layer_that_did_not_run_is_named(self) -> None:
        with toy_classifier().captured("conv1") as seen:
            pass
        with pytest.raises(UsageError, match="layer 'conv1' does not run in a forward pass"):
            seen.output()

    def test_a_layer_that_runs_twice_is_refused(self) -> None:
        relu = nn.ReLU()
        network = nn.Sequential(nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        classifier = Classifier(network, "1", mean=0, std=1)
        with pytest.raises(UsageError, match=r"layer '1' runs more than once .*such as the last one: '1\[-1\]'"), classifier.captured():
            classifier(torch.rand(1, 3, 4, 4))
        assert not any(module._forward_hooks for module in classifier.modules())

    def test_a_layer_that_returns_no_tensor_is_refused(self) -> None:
        class Pair(nn.Module):
            def forward(self, x: Tensor) -> tuple[None, Tensor]:
                return None, x

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.pair, self.conv = Pair(), nn.Conv2d(3, 4, 1)

            def forward(self, x: Tensor) -> Tensor:
                return self.pair(self.conv(x))[1].mean((2, 3))

        classifier = Classifier(Network(), "pair", mean=0, std=1)
        with pytest.raises(UsageError, match="layer 'pair' returns tuple, which does not start with a tensor"), classifier.captured():
            classifier(torch.rand(1, 3, 4, 4))

    def test_logits_are_those_of_the_network_untouched(self) -> None:
        classifier, images = toy_classifier(), toy_batch(2).images
        expected = classifier(images)
        with classifier.captured("norm1") as seen:  # an in-place operation follows
            found = classifier(images)
        assert torch.equal(found, expected)
        assert seen.output().min() < 0


class TestLayers:
    def test_an_unknown_layer_is_refused_at_once(self) -> None:
        with pytest.raises(UsageError, match=r"mine: no layer 'relu3'; did you mean .*'relu2'"):
            Classifier(toy_classifier().network, "relu3", mean=0, std=1, name="mine")

    def test_the_layer_of_a_known_family_is_found(self) -> None:
        from torchvision.models import resnet18

        assert Classifier(resnet18(), mean=0, std=1).layer == "layer4.1"
        assert default_layer(toy_classifier().network) is None

    def test_the_size_of_a_transformer_is_its_own(self) -> None:
        network = toy_classifier("vit").network
        assert Classifier(network, mean=0, std=1).input_size == 32
        assert Classifier(toy_classifier().network, mean=0, std=1).input_size == 224
        with pytest.raises(UsageError, match=r"input_size = 224: VisionTransformer takes images of 32 x 32 pixels"):
            Classifier(network, mean=0, std=1, input_size=224)


class TestWeightsHash:
    def test_it_sees_every_weight_and_buffer_and_nothing_else(self) -> None:
        reference = toy_classifier().weights_hash()
        assert toy_classifier().weights_hash() == reference
        assert toy_classifier().train().requires_grad_(False).weights_hash() == reference
        for name in ("conv1.weight", "norm1.running_var", "norm1.num_batches_tracked"):
            changed = toy_classifier()
            changed.network.state_dict()[name].add_(1)
            assert changed.weights_hash() != reference, name

    def test_it_takes_weights_of_any_type(self) -> None:
        classifier = toy_classifier()
        assert classifier.bfloat16().weights_hash() != toy_classifier().weights_hash()


def test_images_of_any_size_go_through_a_pooling_head() -> None:
    assert toy_classifier("gap")(torch.rand(1, 3, SIZE[0] * 2, SIZE[1] * 3)).shape == (1, 5)
