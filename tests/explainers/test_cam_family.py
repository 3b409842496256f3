"""Class activation maps that one trace gives: against pytorch-grad-cam, and against slow readings of the papers in float64.

Where pytorch-grad-cam differs from a paper, it is the reference of `compat="pgc"`, and a loop over grid cells that of the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.other_libraries import map_of_grad_cam, raw_map_of_grad_cam
from helpers.toys import size_of, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.cam import cam
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.elementwise import elementwise
from camdbench.explainers.fem import fem
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.gradcampp import gradcampp, smoothgradcampp
from camdbench.explainers.hirescam import hirescam
from camdbench.explainers.layercam import layercam
from camdbench.explainers.randomcam import randomcam
from camdbench.explainers.shapleycam import shapleycam
from camdbench.explainers.xgradcam import xgradcam
from camdbench.functional.normalise import normalise, upsample
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def trace(classifier: Classifier, batch: Batch) -> Trace:
    """One trace of a frozen toy."""
    return Trace(classifier.requires_grad_(False), batch)


@pytest.fixture
def dense(batch: Batch) -> Trace:
    """One trace of the toy whose gradients differ from place to place, at a layer with activations of both signs."""
    return Trace(toy_classifier("dense").requires_grad_(False), batch, layer="conv2")


def same(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Equal to a share of the largest value of each map, and not empty."""
    scale = expected.double().abs().amax((1, 2), keepdim=True)
    assert (scale > 0).any(), "an empty map is not a reference"
    scale = scale.clamp_min(1e-30)
    torch.testing.assert_close(found.double() / scale, expected.double() / scale, rtol=0, atol=tolerance)


def channel_by_channel(trace: Trace, weight: Callable[[np.ndarray, np.ndarray], float]) -> Tensor:
    """sum_k w(A_k, G_k) A_k in float64, one image and channel at a time."""
    maps = []
    for grids, gradients in zip(trace.activations.double().numpy(), trace.gradients.double().numpy(), strict=True):
        maps.append(sum(weight(A, G) * A for A, G in zip(grids, gradients, strict=True)))
    return torch.from_numpy(np.stack(maps))


# ------------------------------------------------------------------------------- pytorch-grad-cam, where it is right

PEERS = {
    "XGradCAM": lambda trace: xgradcam(trace, relu=False),
    "GradCAMElementWise": elementwise,
    "GradCAMPlusPlus": lambda trace: gradcampp(trace, compat="pgc", relu=False),
    "FEM": lambda trace: fem(trace, compat="pgc"),
}


@each("toy", ["gap", "dense", "vit"])
@each("method", PEERS)
def test_it_is_that_of_grad_cam(method: str, toy: str) -> None:
    classifier, batch = toy_classifier(toy), toy_batch(size=size_of(toy))
    expected = raw_map_of_grad_cam(classifier, batch, method)
    if method == "FEM":
        expected = expected.relu()  # its base class does so to every map
    with classifier.frozen():
        same(PEERS[method](Trace(classifier, batch)), expected, 1e-5)  # XGradCAM adds 1e-7 to what it divides by


def test_layercam_is_that_of_grad_cam_before_it_is_rectified(classifier: Classifier, batch: Batch) -> None:
    expected = raw_map_of_grad_cam(classifier, batch, "LayerCAM").relu()
    with classifier.frozen():
        same(layercam(Trace(classifier, batch)), expected)


def test_several_layers_are_fused_as_grad_cam_does(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    expected = map_of_grad_cam(classifier, batch, "LayerCAM", ("conv1", "relu2"))
    with classifier.frozen():
        found = layercam(Trace(classifier, batch), layer=("conv1", "relu2"), compat="pgc")
    torch.testing.assert_close(normalise(found, "range"), expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------- the papers, read literally


def test_gradcampp_is_equation_19(trace: Trace) -> None:
    def weight(a: np.ndarray, g: np.ndarray) -> float:
        total = 0.0
        for x in g.ravel():
            if x > 0:
                total += x**2 / (2 * x**2 + a.sum() * x**3) * x
        return total

    same(gradcampp(trace, relu=False), channel_by_channel(trace, weight))


def test_gradcampp_of_its_authors_divides_alpha_by_its_sum_over_positive_gradients(trace: Trace) -> None:
    def weight(a: np.ndarray, g: np.ndarray) -> float:
        alpha = {place: 1 / (2 + a.sum() * x) for place, x in np.ndenumerate(g) if x > 0}
        return sum(alpha[place] * g[place] for place in alpha) / (sum(alpha.values()) or 1)

    same(gradcampp(trace, relu=False, compat="author"), channel_by_channel(trace, weight))


def test_gradcampp_of_torchcam_never_divides(trace: Trace) -> None:
    same(gradcampp(trace, relu=False, compat="torchcam"), channel_by_channel(trace, lambda a, g: float((np.maximum(g, 0) ** 3).sum())))


@pytest.mark.parametrize(("compat", "alive"), [("paper", True), ("pgc", False)])
def test_gradcampp_bears_gradients_of_any_size_where_grad_cams_epsilon_does_not(batch: Batch, compat: str, alive: bool) -> None:
    maps = []
    for scale in (1.0, 1e-6):  # of the gradients; alpha, 1 / (2 + S G), tends to 1/2
        classifier = toy_classifier("dense")
        classifier.network.head[-1].weight.data.mul_(scale)
        with classifier.frozen():
            maps.append(gradcampp(Trace(classifier, batch), compat=compat) / scale)
    sizes = [map_.mean().item() for map_ in maps]
    assert (sizes[1] > 0.5 * sizes[0]) is alive


def test_smoothgradcampp_averages_derivatives_over_noisy_images(batch: Batch) -> None:
    classifier = toy_classifier("dense").requires_grad_(False)
    trace = Trace(classifier, batch, seed=5)
    found = smoothgradcampp(trace, samples=3, std=0.4, relu=False)
    expected = []
    for index, name in enumerate(batch.ids):
        noise = torch.randn((3, 3, 16, 12), generator=generator_for(5, name, "smoothgradcampp")) * 0.4
        one = two = three = 0.0
        for step in noise:
            image = batch.part(index, index + 1)
            G = Trace(classifier, Batch(image.ids, image.images + step * classifier.std, image.labels)).gradients[0].double()
            one, two, three = one + G / 3, two + G**2 / 3, three + G**3 / 3
        A = trace.activations[index].double()
        alpha = two / (2 * two + A.sum((1, 2), keepdim=True) * three)
        expected.append(((torch.where(two > 0, alpha, 0) * one.relu()).sum((1, 2), keepdim=True) * A).sum(0))
    same(found, torch.stack(expected))


def test_smoothgradcampp_without_noise_is_gradcampp_for_three_times_the_passes(trace: Trace) -> None:
    same(smoothgradcampp(trace, samples=3, std=0), gradcampp(trace))
    assert trace.classifier.passes.forward == trace.classifier.passes.tail_backward == 4 * (1 + 3)


def test_smoothgradcampp_gives_no_weight_to_a_channel_without_gradient(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    with torch.no_grad():
        classifier.network.head[-1].weight[:, :3] = 0
    trace = Trace(classifier, batch)
    same(smoothgradcampp(trace, samples=2, std=0, relu=False), gradcampp(trace, relu=False))


def test_xgradcam_keeps_the_sign_of_a_channel_that_sums_to_less_than_nothing(dense: Trace) -> None:
    assert (dense.activations.sum((2, 3)) < 0).any()
    same(xgradcam(dense, relu=False), channel_by_channel(dense, lambda a, g: float((a * g).sum() / a.sum())))


def test_fem_counts_the_mean_of_each_channel_where_it_exceeds_its_limit(dense: Trace) -> None:
    for k in (1.0, 2.0):
        expected = []
        for grids in dense.activations.double().numpy():
            mean, std = grids.mean((1, 2)), grids.std((1, 2))
            expected.append(sum(m * (a >= limit) for m, limit, a in zip(mean, mean + k * std, grids, strict=True)))
        same(fem(dense, k=k), torch.from_numpy(np.stack(expected)))


def test_fem_hears_no_constant_channel(batch: Batch) -> None:
    classifier = toy_classifier("gap")
    nn.init.zeros_(classifier.network.conv2.weight)
    nn.init.ones_(classifier.network.conv2.bias)
    with classifier.frozen():
        assert not fem(Trace(classifier, batch)).any()


def test_layercam_fuses_layers_by_the_largest_of_their_scaled_maps(batch: Batch) -> None:
    trace = Trace(toy_classifier("dense").requires_grad_(False), batch)
    shallow, deep = (layercam(trace, layer=name).double() for name in ("conv1", "relu2"))
    expected = torch.stack([torch.tanh(2 * m / m.amax((1, 2), keepdim=True)) for m in (shallow, deep)]).amax(0)
    same(layercam(trace, layer=("conv1", "relu2")), expected)
    same(layercam(trace, layer=("conv1", "relu2"), compat="torchcam"), torch.maximum(torch.tanh(2 * shallow), torch.tanh(2 * deep)))
    assert torch.equal(layercam(trace, layer=("conv1",)), layercam(trace, layer="conv1"))
    with pytest.raises(UsageError, match="name at least one layer"):
        layercam(trace, layer=())


def test_layercam_of_layers_of_several_sizes_lies_on_the_finest_grid(batch: Batch) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 7, 3, padding=1), nn.Sequential(nn.MaxPool2d(4), nn.Conv2d(7, 7, 1))
            self.head = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(7 * 12, 3))

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.second(self.first(images)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        classifier = Classifier(Pooled().requires_grad_(False), "second", mean=0.5, std=0.25)
    trace = Trace(classifier, batch, target=1)
    fine, coarse = (normalise(layercam(trace, layer=name), "max") for name in ("first", "second"))
    assert coarse.shape == (4, 4, 3)
    expected = torch.maximum(torch.tanh(2 * fine), upsample(torch.tanh(2 * coarse), (16, 12)))
    torch.testing.assert_close(layercam(trace, layer=("second", "first")), expected)


def test_randomcam_draws_its_weights_from_seed_and_image_id(classifier: Classifier, batch: Batch) -> None:
    trace = Trace(classifier.requires_grad_(False), batch, seed=3)
    for index, name in enumerate(batch.ids):
        weights = torch.rand(8, generator=generator_for(3, name, "randomcam")) * 2 - 1
        torch.testing.assert_close(randomcam(trace, relu=False)[index], torch.einsum("k,khw->hw", weights, trace.activations[index]))


# ------------------------------------------------------------------------------- identities


def test_on_a_linear_head_cam_gradcam_xgradcam_hirescam_and_shapleycam_are_one(batch: Batch) -> None:
    trace = Trace(toy_classifier("gap").requires_grad_(False), batch)
    expected = cam(trace) / (8 * 6)
    for method in (gradcam, xgradcam, hirescam, shapleycam):
        same(method(trace, relu=False), expected)


def test_layercam_is_elementwise_where_no_activation_is_negative_and_differs_elsewhere(trace: Trace) -> None:
    same(layercam(trace), elementwise(trace))
    below = Trace(toy_classifier("dense").requires_grad_(False), trace.batch, layer="conv1")  # a norm follows
    assert (layercam(below) - elementwise(below)).abs().max() > 1e-3


def test_shapleycam_has_the_whole_hessian_in_its_weights(batch: Batch) -> None:
    """grad-cam's own cannot be asked: its release() fails on gradients that are views, as those of a flattened layer are."""
    classifier = toy_classifier("dense").requires_grad_(False)
    found = shapleycam(Trace(classifier, batch), relu=False)
    network = toy_classifier("dense").network.requires_grad_(False).double()
    for index, label in enumerate(batch.labels.tolist()[:2]):
        seen = ((batch.images[index : index + 1] - classifier.mean) / classifier.std).double()
        A = network.relu2(network.conv2(network.relu1(network.norm1(network.conv1(seen)))))
        size = A.numel()

        def logit(flat: Tensor, shape: torch.Size = A.shape, label: int = label) -> Tensor:
            return network.head(flat.view(shape))[0, label]

        G = torch.autograd.functional.jacobian(logit, A.flatten())
        H = torch.autograd.functional.hessian(logit, A.flatten())
        w = (G - H.view(size, size) @ A.flatten() / 2).view_as(A).mean((2, 3))
        same(found[index : index + 1], torch.einsum("bk,bkhw->bhw", w, A))
        assert (H @ A.flatten()).abs().max() > 1e-3, "a flat function is not a reference"


def test_cam_is_the_heads_own_weights_and_is_refused_where_there_are_none(batch: Batch) -> None:
    classifier = toy_classifier("gap").requires_grad_(False)
    weights = classifier.network.head[-1].weight[batch.labels]
    trace = Trace(classifier, batch)
    torch.testing.assert_close(cam(trace), torch.einsum("bk,bkhw->bhw", weights, trace.activations))
    assert cam(trace).min() < 0
    bias = classifier.network.head[-1].bias[batch.labels]
    torch.testing.assert_close(cam(trace).mean((1, 2)), trace.target_logits - bias)
    with pytest.raises(NotApplicable, match="not global average pooling"):
        cam(Trace(toy_classifier("dense").requires_grad_(False), batch))


def test_grad_cams_fem_is_another_method(trace: Trace) -> None:
    found, other = (normalise(fem(trace, compat=compat), "range") for compat in ("paper", "pgc"))
    assert (found - other).abs().max() > 0.05
