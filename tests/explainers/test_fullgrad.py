"""FullGrad: completeness, pytorch-grad-cam, a reading of the definition channel by channel, and networks that it refuses."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import random_network, side_of
from helpers.other_libraries import map_of_grad_cam
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.fullgrad import _check_completeness, fullgrad
from camdbench.functional.normalise import normalise
from camdbench.models.bias_terms import record_bias_terms
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")


def shares(index: int, label: int) -> list[Tensor]:
    """Input x gradient and bias x gradient (C, h, w) of one image of the toy batch in float64, every bias an input of its own."""
    classifier = toy_classifier("gap").requires_grad_(False)
    network = classifier.network.double()
    norm = network.norm1
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    x = ((toy_batch().images[index : index + 1].double() - classifier.mean) / classifier.std).requires_grad_()
    grids = [(6, 8, 6), (6, 8, 6), (8, 8, 6)]
    values = [network.conv1.bias, norm.bias - norm.running_mean * scale, network.conv2.bias]
    b = [value[None, :, None, None].repeat(1, 1, *grid[1:]).requires_grad_() for value, grid in zip(values, grids, strict=True)]
    first = F.conv2d(x, network.conv1.weight, padding=1, stride=2) + b[0]
    second = F.conv2d((first * scale[:, None, None] + b[1]).relu(), network.conv2.weight, padding=1) + b[2]
    fc = network.head[-1]
    logit = (second.relu().mean((2, 3)) @ fc.weight.T + fc.bias)[0, label]
    gradients = torch.autograd.grad(logit, [x, *b])
    parts = [(value * gradient).detach()[0] for value, gradient in zip([x, *b], gradients, strict=True)]
    torch.testing.assert_close(sum(part.sum() for part in parts) + fc.bias[label], logit.detach())  # completeness
    return parts


def rescaled(maps: Tensor) -> Tensor:
    return (maps - maps.min()) / (maps.max() - maps.min()) if maps.max() > maps.min() else torch.zeros_like(maps)


@pytest.mark.parametrize("compat", ["paper", "pgc"])
def test_it_is_the_sum_of_the_rescaled_sizes_of_all_full_gradients(compat: str) -> None:
    classifier, batch = toy_classifier("gap"), toy_batch()
    with classifier.frozen():
        found = fullgrad(Trace(classifier, batch), compat=compat)
    for index, label in enumerate(batch.labels.tolist()):
        total = torch.zeros(SIZE, dtype=torch.float64)
        for part in shares(index, label):
            sizes = rescaled(part.abs()) if compat == "paper" else torch.stack([rescaled(channel.abs()) for channel in part])
            total += F.interpolate(sizes[None], size=SIZE, mode="bilinear")[0].sum(0)
        torch.testing.assert_close(found[index], total, rtol=1e-4, atol=1e-4)


def test_channel_by_channel_it_is_that_of_grad_cam() -> None:
    classifier, batch = toy_classifier("gap"), toy_batch()
    classifier.network.relu1.inplace = False  # behind it grad-cam would read what an in-place ReLU leaves
    expected = map_of_grad_cam(classifier, batch, "FullGrad", ())
    with classifier.frozen():
        found = normalise(fullgrad(Trace(classifier, batch), compat="pgc"), "range")
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


def test_a_layer_is_rescaled_from_its_smallest_to_its_largest_size() -> None:
    """Without a ReLU, bias x gradient of a channel is b w / 16 at all 16 places: 2, 6 and 4 become 0, 1 and 0.5; alone, 0 each."""
    convolution, head = nn.Conv2d(3, 3, 1), nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.copy_(torch.tensor([1.0, -2.0, 4.0]))
        head.weight.copy_(16 * torch.tensor([[2.0, 3.0, -1.0], [0.0, 0.0, 0.0]]))
    network = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    classifier = Classifier(network.double().eval(), "0", mean=0.5, std=0.25)
    classifier.mean, classifier.std = classifier.mean.double(), classifier.std.double()
    batch = make_batch(torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double())
    with classifier.frozen():
        torch.testing.assert_close(fullgrad(Trace(classifier, batch, target=0)), torch.full((2, 4, 4), 1.5))
        assert not fullgrad(Trace(classifier, batch, target=0), compat="pgc").any()


@pytest.mark.parametrize("name", ["resnet18", "small_vgg", "densenet121", "googlenet"])
def test_networks_of_relus_are_complete(name: str) -> None:
    classifier = random_network(name)
    batch = make_batch(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    with classifier.frozen():
        assert fullgrad(Trace(classifier, batch, target=3)).shape == (1, 64, 64)


@pytest.mark.parametrize("name", ["convnext_tiny", "small_vit", "mobilenet_v3_small"])
def test_networks_that_are_not_piecewise_linear_are_refused(name: str) -> None:
    side, classifier = side_of(name, 64), random_network(name)
    head = [module for module in classifier.network.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))  # torchvision starts that of a transformer at zero
    batch = make_batch(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)))
    with classifier.frozen(), pytest.raises(NotApplicable, match="do not add up to the logit"):
        fullgrad(Trace(classifier, batch, target=3))


def test_a_network_that_cuts_images_into_windows_is_refused() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.inner, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 4), nn.Linear(4, 5)

        def forward(self, images: Tensor) -> Tensor:
            windows = self.conv(images).unflatten(2, (-1, 4)).permute(0, 2, 3, 4, 1).flatten(0, 1)  # as Swin's attention sees them
            return self.head(self.inner(windows).relu().unflatten(0, (len(images), -1)).mean((1, 2, 3)))

    batch = toy_batch()
    classifier = Classifier(Windows().eval(), "conv", mean=0.5, std=0.25)
    with classifier.frozen(), pytest.raises(NotApplicable, match="not one item for each image"):
        fullgrad(Trace(classifier, batch))


@pytest.mark.parametrize(
    ("size", "excess", "complete"), [(0.0, 0.9e-3, True), (0.0, 1.2e-3, False), (50.0, 1.9e-3, True), (50.0, 2.2e-3, False)]
)
def test_a_sum_may_miss_the_logit_by_rounding_only(size: float, excess: float, complete: bool) -> None:
    """A thousandth of the logit, here 1, and 1e-5 of the sizes that cancel."""
    parts = [torch.tensor([[1.0 + excess]]), torch.tensor([[size, -size]])]
    with nullcontext() if complete else pytest.raises(NotApplicable):
        _check_completeness(torch.ones(1), parts)


def test_a_tanh_is_refused_too() -> None:
    classifier = toy_classifier("dense")
    with classifier.frozen(), pytest.raises(NotApplicable):
        fullgrad(Trace(classifier, toy_batch()))


def test_it_costs_a_pass_there_and_back() -> None:
    classifier = toy_classifier("gap")
    fullgrad(Trace(classifier, toy_batch()))
    assert classifier.passes == PassCounts(forward=4, backward=4)
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_what_layers_add_is_seen_before_in_place_operations_and_no_hook_stays() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2, affine=False)
    ).eval()
    images = torch.rand(1, 3, 4, 4)
    with torch.no_grad(), record_bias_terms(network) as added:
        network(images)
    assert [(tuple(item.bias.shape), item.on_grid) for item in added] == [((2, 1, 1), True), ((2, 1, 1), True)]
    torch.testing.assert_close(added[0].output, network[0](images))
    assert not added[1].bias.any()
    assert not any(module._forward_hooks for module in network.modules())


def test_a_norm_without_running_statistics_adds_nothing_that_is_known() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    with torch.no_grad(), record_bias_terms(network) as added:
        network(torch.rand(1, 3, 4, 4))
    assert added == []
