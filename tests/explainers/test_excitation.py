"""Excitation backprop against a literal reading of its paper: one neuron at a time, in float64, on a network small enough to wait for."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.networks import random_network
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.excitation import _Excitation, cmwp, ebp
from camdbench.models.classifier import Classifier
from camdbench.models.embedded import shortcuts_ce
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")

Array = np.ndarray[Any, np.dtype[np.float64]]


class Tiny(nn.Module):
    """A residual block between a max pooling and an average pooling, with batch norms whose scale is negative here and there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1, self.relu1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.norm2 = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.skip, self.norm3 = nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5)
        self.relu2 = nn.ReLU(inplace=True)
        self.average, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu1(self.norm1(self.conv1(x))))
        out = self.norm2(self.conv2(x))
        out += self.norm3(self.skip(x))
        return self.fc(torch.flatten(self.average(self.relu2(out)), 1))


class Ends(nn.Module):
    """ReLU6 as a function."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x, inplace=True)


@pytest.fixture
def tiny() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = Tiny().eval()
        for norm in (network.norm1, network.norm2, network.norm3):
            nn.init.normal_(norm.weight)
            nn.init.uniform_(norm.bias, 0.2, 1)
            norm.running_var.uniform_(0.5, 2)
    return Classifier(network, "relu2", mean=0.5, std=0.25, name="tiny")


@pytest.fixture
def trace(tiny: Classifier) -> Trace:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    return Trace(tiny, make_batch(images), target=torch.tensor([2, 0]))


def hand_down(held: Array, values: Array, weights: Array, padding: int) -> Array:
    """Eq. 1-2: every neuron of a convolution shares out what it holds among the neurons that excite it."""
    result = np.zeros_like(values)
    size = weights.shape[-1]
    for o, y, x in itertools.product(*map(range, held.shape)):
        shares = dict[tuple[int, int, int], float]()
        for c, dy, dx in itertools.product(range(values.shape[0]), range(size), range(size)):
            place = (c, y + dy - padding, x + dx - padding)
            if 0 <= place[1] < values.shape[1] and 0 <= place[2] < values.shape[2]:
                shares[place] = values[place] * max(weights[o, c, dy, dx], 0.0)
        if (total := sum(shares.values())) > 0:
            for place, share in shares.items():
                result[place] += share / total * held[o, y, x]
    return result


def literal(network: Tiny, image: Tensor, label: int, compat: str, *, contrast: bool = False) -> dict[str, Array]:
    """What each neuron of `relu2`, `pool` and `relu1` holds."""
    net: Any = network.double()
    x = ((image - 0.5) / 0.25).double()[None]
    first = net.relu1(net.norm1(net.conv1(x)))
    pooled, winners = F.max_pool2d(first, 2, return_indices=True)
    terms = [net.norm2(net.conv2(pooled)), net.norm3(net.skip(pooled))]
    last = net.relu2(terms[0] + terms[1])[0].detach().numpy()
    mean = last.mean((1, 2))

    def class_layer(sign: int) -> Array:
        excitation = mean * np.maximum(sign * net.fc.weight[label].detach().numpy(), 0)
        return excitation / excitation.sum()

    top = class_layer(1) - class_layer(-1) if contrast else class_layer(1)
    held = {"relu2": last / last.sum((1, 2), keepdims=True) * top[:, None, None]}
    split = [term[0].detach().numpy() for term in terms]
    split = [np.maximum(term, 0) for term in split] if compat == "paper" else split
    total = split[0] + split[1]
    held["pool"] = np.zeros((3, 4, 4))
    for term, conv, norm, padding in ((split[0], net.conv2, net.norm2, 1), (split[1], net.skip, net.norm3, 0)):
        part = held["relu2"] * np.divide(term, total, out=np.zeros_like(term), where=total != 0)
        sign = np.sign(norm.weight.detach().numpy()) if compat == "paper" else np.ones(5)
        held["pool"] += hand_down(part, pooled[0].detach().numpy(), conv.weight.detach().numpy() * sign[:, None, None, None], padding)
    held["relu1"] = np.zeros((3, 8, 8))
    for c, y, x in itertools.product(range(3), range(4), range(4)):
        winner = int(winners[0, c, y, x])
        held["relu1"][c, winner // 8, winner % 8] += held["pool"][c, y, x]
    network.float()
    return held


class TestLiteralReading:
    @pytest.mark.parametrize("compat", ["paper", "torchray"])
    @pytest.mark.parametrize("layer", ["relu2", "pool", "relu1"])
    def test_of_the_probability_of_every_neuron(self, trace: Trace, layer: str, compat: str) -> None:
        found = _Excitation(trace, layer, compat)
        held = found.descend(contrast=False)[found.end]
        for index, label in enumerate(trace.targets):
            expected = literal(trace.classifier.network, trace.images[index], int(label), compat)[layer]
            torch.testing.assert_close(held[index], torch.from_numpy(expected))

    @pytest.mark.parametrize("kind", ["module", "function"])
    def test_of_a_rectifier_that_ends_at_six(self, tiny: Classifier, trace: Trace, kind: str) -> None:
        network = tiny.network
        for norm in (network.norm1, network.norm2, network.norm3):
            norm.bias.data.add_(4)
        network.relu1, network.relu2 = (nn.ReLU6(inplace=True), nn.ReLU6()) if kind == "module" else (Ends(), Ends())
        found = _Excitation(trace, "relu1", "paper")
        values = found.graph.values[found.end]
        assert (values == 6).any(), "nothing is cut off, so that a ReLU would do as well"
        held = found.descend(contrast=False)[found.end]
        for index, label in enumerate(trace.targets):
            expected = literal(network, trace.images[index], int(label), "paper")["relu1"]
            torch.testing.assert_close(held[index], torch.from_numpy(expected))

    @pytest.mark.parametrize("compat", ["paper", "torchray"])
    def test_of_the_contrast(self, trace: Trace, compat: str) -> None:
        found = cmwp(trace, layer="pool", compat=compat)
        for index, label in enumerate(trace.targets):
            expected = literal(trace.classifier.network, trace.images[index], int(label), compat, contrast=True)["pool"]
            torch.testing.assert_close(found[index], torch.from_numpy(expected.sum(0)).relu())

    def test_the_two_readings_differ_on_this_network(self, trace: Trace) -> None:
        assert (ebp(trace, layer="pool") - ebp(trace, layer="pool", compat="torchray")).abs().max() > 0.01


class TestProbability:
    @each("layer", ["layer3.1", "layer3.0", "layer2", "layer1", "stem"])
    def test_sums_to_one_on_every_layer_of_the_embedded_model(self, layer: str) -> None:
        classifier = shortcuts_ce().eval().requires_grad_(False)
        images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        found = ebp(Trace(classifier, make_batch(images), target="predicted"), layer=layer)
        torch.testing.assert_close(found.sum((1, 2)), torch.ones(2), rtol=1e-3, atol=1e-3)
        assert (found >= 0).all()

    def test_sums_to_one_where_the_pooling_is_a_mean_and_sizes_are_added(self, tiny: Classifier, trace: Trace) -> None:
        class Means(Tiny):
            def forward(self, x: Tensor) -> Tensor:
                x = self.pool(self.relu1(self.norm1(self.conv1(x))))
                x = self.relu2(self.norm2(self.conv2(x)) + self.norm3(self.skip(x)))
                return self.fc(x.reshape(x.shape[:2] + torch.Size([-1])).mean(2))

        network = Means().eval()
        network.load_state_dict(tiny.network.state_dict())
        other = Trace(Classifier(network, "relu2", mean=0.5, std=0.25), trace.batch, target=trace.targets)
        torch.testing.assert_close(ebp(other, layer="pool"), ebp(trace, layer="pool"))

    @pytest.mark.parametrize(
        ("name", "layers"),
        [
            ("resnet18", ["layer4.1", "layer3", "layer1"]),
            ("resnet50", ["layer3"]),
            ("small_vgg", ["features.27", "features.14"]),
            ("mobilenet_v2", ["features.18"]),
        ],
    )
    def test_sums_to_one_on_torchvisions(self, name: str, layers: list[str]) -> None:
        classifier = random_network(name)
        images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        for layer in layers:
            found = ebp(Trace(classifier, make_batch(images), target=7), layer=layer)
            torch.testing.assert_close(found.sum(), torch.tensor(1.0), rtol=1e-3, atol=1e-3)

    def test_of_the_contrast_is_zero_before_it_is_rectified_where_no_bias_took_any(self, trace: Trace) -> None:
        found = _Excitation(trace, "relu2", "paper")
        assert found.map(contrast=True).sum((1, 2)).abs().max() < 1e-5
        assert cmwp(trace, layer="pool").max() > 0


def test_one_more_forward_and_one_tail_pass_are_counted(tiny: Classifier) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    with tiny.frozen():
        ebp(Trace(tiny, make_batch(images), target=1))
    assert tiny.passes == PassCounts(forward=4, tail_backward=2)


def test_options_of_the_networks_forward_keep_their_usual_values(tiny: Classifier) -> None:
    class Scaled(Tiny):
        def forward(self, x: Tensor, scale: float = 2.0, noise: Tensor | None = None) -> Tensor:
            return super().forward(x * scale if noise is None else x + noise)

    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    network = Scaled().eval()
    network.load_state_dict(tiny.network.state_dict())
    found = ebp(Trace(Classifier(network, "pool", mean=0.5, std=0.25), make_batch(images), target=1))
    same = ebp(Trace(Classifier(tiny.network, "pool", mean=0.5, std=0.125), make_batch(images), target=1))
    torch.testing.assert_close(found, same)


class TestRefusal:
    @pytest.mark.parametrize("explainer", [ebp, cmwp])
    def test_a_layer_that_reads_values_below_zero(self, explainer: Any) -> None:
        with pytest.raises(NotApplicable, match="excitation backprop is not defined: head_3 reads values that are not rectified"):
            explainer(Trace(toy_classifier("dense"), toy_batch()))

    def test_transformers(self) -> None:
        with pytest.raises(NotApplicable, match="excitation backprop is not defined"):
            ebp(Trace(toy_classifier("vit"), toy_batch(size=(32, 32))))

    def test_transformers_of_timm_whose_forward_takes_options(self) -> None:
        timm = pytest.importorskip("timm")
        network = timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=5).eval()
        with pytest.raises(NotApplicable, match="excitation backprop is not defined: head reads values that are not rectified"):
            ebp(Trace(Classifier(network, mean=0.5, std=0.5), toy_batch(size=(32, 32)), target=1))

    def test_activations_other_than_rectifiers(self, tiny: Classifier) -> None:
        tiny.network.relu2 = nn.SiLU()
        with pytest.raises(NotApplicable, match="fc reads values that are not rectified"):
            ebp(Trace(tiny, toy_batch(), target=1), layer="pool")

    def test_bottlenecks_that_are_not_rectified(self) -> None:
        classifier = random_network("mobilenet_v2")
        images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with pytest.raises(NotApplicable, match="features_18_0 reads values that are not rectified"):
            ebp(Trace(classifier, make_batch(images), target=7), layer="features.17")

    def test_operations_that_nobody_gave_a_rule_for(self, tiny: Classifier) -> None:
        tiny.network.norm2 = nn.GroupNorm(1, 5)
        with pytest.raises(NotApplicable, match=r"excitation backprop is not defined for GroupNorm \(norm2\)"):
            ebp(Trace(tiny, toy_batch(), target=1), layer="pool")

    @pytest.mark.parametrize(("factor", "alike"), [(1.0005, True), (1.003, False)])
    def test_networks_whose_listed_operations_give_other_logits(self, tiny: Classifier, factor: float, alike: bool) -> None:
        with torch.no_grad():
            for parameter in tiny.network.fc.parameters():
                parameter.mul_(0.01)  # logits far below 1
            trace = Trace(tiny, make_batch(torch.rand(2, 3, 8, 8)), target=1)
            assert trace.logits.abs().max() < 0.1
            for parameter in tiny.network.fc.parameters():
                parameter.mul_(factor)  # after the pass, before the listing
        with nullcontext() if alike else pytest.raises(NotApplicable, match="do not give its logits"):
            ebp(trace, layer="pool")

    def test_networks_whose_course_depends_on_what_they_see(self) -> None:
        class Branches(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.fc = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)

            def forward(self, x: Tensor) -> Tensor:
                return self.fc(self.conv(x if x.mean() > 0 else -x).mean((2, 3)))

        with pytest.raises(NotApplicable, match="the operations of Branches cannot be listed"):
            ebp(Trace(Classifier(Branches(), "conv", mean=0.5, std=0.5), toy_batch(), target=1))
