"""Guided backpropagation and deconvolution against captum where captum is right, by a literal reading where it is not, and refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam
from helpers.networks import random_network
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.guided import deconvnet, guided_gradients, guidedbackprop, guidedgradcam
from camdbench.models.backward_rules import deconvolution_relu
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")

quiet = pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor")


@quiet
def test_is_captums_where_every_relu_is_a_module(batch: Batch) -> None:
    trace = Trace(toy_classifier("gap"), batch)
    leaf = batch.images.clone().requires_grad_()
    reference = GuidedBackprop(trace.classifier).attribute(leaf, target=trace.targets).detach()
    torch.testing.assert_close(guided_gradients(trace, "x"), reference)
    torch.testing.assert_close(guidedbackprop(trace), reference.abs().amax(1))


@quiet
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_is_captums_on_real_networks(name: str) -> None:
    trace = _real(name)
    reference = GuidedBackprop(trace.classifier).attribute(trace.images.clone().requires_grad_(), target=trace.targets).detach()
    scale = reference.abs().amax()
    torch.testing.assert_close(guided_gradients(trace, "x") / scale, reference / scale, rtol=0, atol=1e-5)


@quiet
def test_captum_misses_the_functional_relu_of_densenet() -> None:
    trace = _real("densenet121")
    reference = GuidedBackprop(trace.classifier).attribute(trace.images.clone().requires_grad_(), target=trace.targets).detach()
    assert not torch.allclose(guided_gradients(trace, "x"), reference, rtol=0.01), "captum has fixed it: move DenseNet to the others"


class Functional(nn.Module):
    """The same ReLU module twice, a functional one in place, and a method."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        found = self.relu(self.layers[1](self.relu(self.layers[0](images))))
        found = F.relu(self.layers[2](found), inplace=True)
        return self.layers[3](found).relu().mean((2, 3))


def test_finds_relus_wherever_they_are_written() -> None:
    torch.manual_seed(0)
    network = Functional().requires_grad_(False)
    images = torch.rand(1, 3, 6, 5)
    trace = Trace(Classifier(network, mean=0, std=1), Batch(("a",), images, torch.tensor([1])))
    kept, found = [], images
    for layer in network.layers:
        found = layer(found)
        kept.append(found > 0)
        found = found.relu()
    gradient = torch.zeros_like(found)
    gradient[:, 1] = 1 / 30
    for layer, mask in zip(reversed(network.layers), reversed(kept), strict=True):
        gradient = F.conv_transpose2d(gradient.clamp_min(0) * mask, layer.weight, padding=1)
    torch.testing.assert_close(guided_gradients(trace, "x"), gradient)


@quiet
def test_guidedgradcam_is_captums_with_a_bilinear_map(batch: Batch) -> None:
    trace = Trace(toy_classifier("gap"), batch)
    reference = GuidedGradCam(trace.classifier, trace.classifier.network.relu2)
    found = reference.attribute(batch.images.clone().requires_grad_(), trace.targets, interpolate_mode="bilinear").detach()
    torch.testing.assert_close(guidedgradcam(trace), found.abs().amax(1), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(guidedgradcam(trace, channels="sum"), found.sum(1), rtol=1e-4, atol=1e-7)


class TwoLayers(nn.Module):
    """W1 = [[1, -1], [2, 1]], ReLU, W2 = [1, -1], and a second class of the opposite sign; the ReLU is a module or a function."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(F.linear(images[:, :2, 0, 0], torch.tensor([[1.0, -1.0], [2.0, 1.0]])))
        return F.linear(hidden, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


@quiet
def test_two_layers_by_hand_and_captum_without_a_warning_gives_the_plain_gradient_of_a_function() -> None:
    image, plain = torch.tensor([1.0, 2.0, 0.0])[None, :, None, None], [-2, -1, 0]
    for relu, of_captum in ((nn.ReLU(), [1, -1, 0]), (F.relu, plain)):
        trace = Trace(Classifier(TwoLayers(relu), mean=0, std=1), Batch(("a",), image, torch.tensor([0])))
        assert trace.pixel_gradients.flatten().tolist() == plain
        assert guided_gradients(trace, "x", deconvolution_relu).flatten().tolist() == [1, -1, 0]
        assert guided_gradients(trace, "x").flatten().tolist() == [0, 0, 0]
        assert Deconvolution(trace.classifier).attribute(image.clone().requires_grad_(), target=0).flatten().tolist() == of_captum
        assert deconvnet(trace).item() == 1


def test_channels_in_the_other_order_and_an_input_by_keyword_change_nothing(batch: Batch) -> None:
    toy, other = toy_classifier("gap"), toy_classifier("gap").network
    other.conv1.weight.data = other.conv1.weight.data.flip(1)
    other.relu2 = NamedInput()
    bgr = Classifier(other, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), channels="bgr")
    torch.testing.assert_close(guidedbackprop(Trace(bgr, batch)), guidedbackprop(Trace(toy, batch)))


class NamedInput(nn.Module):
    """ReLU whose input is given by keyword."""

    def forward(self, values: Tensor) -> Tensor:
        return F.relu(input=values)


@quiet
def test_deconvolution_is_captums_on_a_real_network() -> None:
    trace = _real("resnet18")
    reference = Deconvolution(trace.classifier).attribute(trace.images.clone().requires_grad_(), target=trace.targets).detach()
    scale = reference.abs().amax()
    found = guided_gradients(trace, "x", deconvolution_relu)
    torch.testing.assert_close(found / scale, reference / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["small_vit", "convnext_tiny", "efficientnet_b0"])
def test_is_refused_where_there_is_something_but_relus(name: str) -> None:
    with pytest.raises(NotApplicable, match="guidedbackprop is not defined for"):
        guidedbackprop(_real(name, 32))


def test_a_hyperbolic_tangent_is_refused_by_name(batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="guidedgradcam is not defined for the operation Tanh"):
        guidedgradcam(Trace(toy_classifier("dense"), batch))


def test_a_network_without_relu_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    with pytest.raises(NotApplicable, match="without ReLU"):
        guidedbackprop(Trace(Classifier(network, mean=0, std=1), toy_batch()))


def test_passes_are_counted(batch: Batch) -> None:
    trace = Trace(toy_classifier(), batch)
    trace.logits  # noqa: B018 - read so that it is paid for
    before = trace.classifier.passes
    guidedbackprop(trace)
    spent = trace.classifier.passes - before
    assert (spent.forward, spent.backward, spent.total()) == (4, 4, 8)


def _real(name: str, side: int = 64) -> Trace:
    classifier = random_network(name)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    return Trace(classifier, make_batch(images), target=torch.tensor([7, 400]))
