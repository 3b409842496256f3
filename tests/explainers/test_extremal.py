"""Extremal perturbations: a planted region is found, areas are kept, and the descent is a literal one."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.extremal import extremal
from camdbench.functional import pass_size
from camdbench.functional.smooth_masks import area_error, blur, blur_by_mask, enlarge, pyramid
from camdbench.models.classifier import Classifier

SMALL = {"step": 2, "sigma": 2.0, "blur_sigma": 4.0}
FEW = {"areas": (0.2,), "max_iter": 5, **SMALL}


class Patch(nn.Module):
    """Class 1 scores how much of a template is seen in one patch; class 2 the opposite."""

    def __init__(self, template: Tensor) -> None:
        super().__init__()
        self.template = template

    def forward(self, images: Tensor) -> Tensor:
        score = (images[:, :, 4:12, 4:12] * self.template).mean((1, 2, 3)) * 300
        return torch.stack([torch.zeros_like(score), score, -score], 1)


@pytest.fixture
def planted() -> Trace:
    """An image of blobs, one patch of which is the template, so that blurring it takes the score away, little by little."""
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, (20, 24), mode="bilinear")
    template = (images - images.mean((2, 3), keepdim=True))[:, :, 4:12, 4:12]
    return Trace(Classifier(Patch(template), mean=0, std=1), Batch(("a",), images, torch.tensor([1])))


@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
@pytest.mark.parametrize("reward", ["simple", "contrastive"])
def test_finds_the_patch_that_the_class_is_scored_by(planted: Trace, variant: str, reward: str) -> None:
    options = {"smooth": 0.0, "jitter": False, **SMALL}
    found = extremal(planted, areas=(64 / 480,), variant=variant, reward=reward, max_iter=150, **options)[0]
    patch = torch.zeros(20, 24, dtype=torch.bool)
    patch[4:12, 4:12] = True
    assert found[patch].mean() > 0.7
    assert found[~patch].mean() < 0.1


def test_prefers_no_side_where_the_network_prefers_none() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5))
    network[1].weight.data.zero_()
    trace = Trace(Classifier(network, mean=0, std=1), toy_batch())
    found = extremal(trace, areas=(0.2,), max_iter=100, smooth=0.0, **SMALL)
    for axis in (1, 2):
        torch.testing.assert_close(found, found.flip(axis), rtol=0, atol=0.02)


def test_masks_have_the_area_that_is_asked_for(planted: Trace) -> None:
    for area in (0.1, 0.3):
        mask = extremal(planted, areas=(area,), max_iter=300, smooth=0.0, **SMALL)
        assert mask.mean().item() == pytest.approx(area, abs=0.05)


def test_areas_are_summed_whatever_goes_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace(toy_classifier("dense"), toy_batch())
    options = {"max_iter": 6, "smooth": 0.0, **SMALL}
    together = extremal(trace, areas=(0.1, 0.2, 0.4), **options)
    alone = sum(extremal(trace, areas=(area,), **options) for area in (0.1, 0.2, 0.4))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-9)
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 1)
    torch.testing.assert_close(extremal(trace, areas=(0.1, 0.2, 0.4), **options), together, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
@pytest.mark.parametrize("reward", ["simple", "contrastive"])
@pytest.mark.parametrize("jitter", [False, True])
def test_is_a_literal_descent(batch: Batch, variant: str, reward: str, jitter: bool) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    found = extremal(trace, areas=(0.2,), variant=variant, reward=reward, jitter=jitter, max_iter=5, smooth=0.0, **SMALL)
    for image in range(4):
        blurred, target = pyramid(trace.images[image : image + 1], 4.0), trace.targets[image]

        def score(mask: Tensor, blurred: Tensor = blurred, target: Tensor = target, mirrored: bool = False) -> Tensor:
            shown = blur_by_mask(blurred, mask)
            logits = trace.score(shown.flip(-1) if mirrored else shown)[0]
            others = torch.cat([logits[:target], logits[target + 1 :]])
            return logits[target] - others.max() if reward == "contrastive" else logits[target]

        grid, buffer = torch.ones(1, 8, 6), None
        for iteration in range(5):
            grid.requires_grad_()
            mask = enlarge(grid, (16, 12), 2, 2.0)
            mirrored = jitter and iteration in (0, 2, 4)
            kept, left = score(mask, mirrored=mirrored), score(1 - mask, mirrored=mirrored)
            gain = {"preserve": kept, "delete": -left, "dual": kept - left}[variant]
            loss = 300 * 1.0035**iteration * area_error(mask, torch.tensor([0.2])).sum() - gain
            gradient = torch.autograd.grad(loss, grid)[0]
            buffer = gradient if buffer is None else 0.9 * buffer + 0.1 * gradient
            grid = (grid.detach() - 0.01 * buffer).clamp(0, 1)
        torch.testing.assert_close(found[image], enlarge(grid, (16, 12), 2, 2.0)[0], rtol=1e-3, atol=1e-4)


def _pixels_of_torchray(step: int, sigma: float) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Nodes (V, P) that the pixels of a mask with margin see, in a grid for 16 x 12 pixels behind 0, their kernel, and height and width."""
    radius, padding, (height, width) = 1 + math.ceil(sigma / step), 1 + math.ceil(2 * sigma / step), (16 // step, 12 // step)
    sides = [step * (nodes + 2 * padding - 2 * radius) - step + 1 for nodes in (height, width)]
    rows, columns = torch.meshgrid(*map(torch.arange, sides), indexing="ij")
    nodes, kernel = [], []
    for down in range(2 * radius + 1):
        for right in range(2 * radius + 1):
            y, x = rows // step + down - padding, columns // step + right - padding
            distance = ((rows - sigma - step * y) ** 2 + (columns - sigma - step * x) ** 2).double().sqrt() / sigma
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            nodes.append(torch.where(inside, 1 + width * y + x, 0).flatten())
            kernel.append(torch.exp(-2 * (distance - 0.5).clamp(min=0) ** 2).flatten())
    return torch.stack(nodes), torch.stack(kernel), (sides[0], sides[1])


def _descent_of_torchray(trace: Trace, image: int, area: float, variant: str, step: int, max_iter: int, *, jitter: bool = True) -> Tensor:
    """The mask of one image of 16 x 12 pixels, by a literal descent of TorchRay with sigma = step and blur_sigma = 4."""
    nodes, kernel, sides = _pixels_of_torchray(step, float(step))
    classifier = trace.classifier
    network, mean, std = classifier.network, classifier.mean, classifier.std
    inputs, target = (trace.images[image : image + 1] - mean) / std, trace.targets[image]
    blurred = torch.stack([blur(inputs, 4.0 * (1 - level / 7), zero_padding=True)[0] for level in range(8)])

    def score(mask: Tensor, mirrored: bool) -> Tensor:
        level = (mask * 7).floor().long().expand(1, 3, -1, -1)
        share = mask * 7 - level[0]
        shown = (1 - share) * blurred.gather(0, level) + share * blurred.gather(0, (level + 1).clamp(max=7))
        return network(shown.flip(3) if mirrored else shown)[0, target]

    grid, buffer, mask, weight = torch.ones(16 * 12 // step**2), None, torch.ones(16, 12), 300.0
    ideal = (torch.arange(sides[0] * sides[1]) >= int(sides[0] * sides[1] * (1 - area))).double()
    for iteration in range(max_iter):
        grid.requires_grad_()
        products = kernel * torch.cat([grid.new_zeros(1), grid])[nodes]
        whole = (products * (20 * products).softmax(0)).sum(0)
        mask = whole.reshape(sides)[step : step + 16, step : step + 12]
        mirrored = jitter and iteration % 2 == 0
        kept, left = score(mask, mirrored), score(1 - mask, mirrored)
        gain = {"preserve": kept, "delete": -left, "dual": kept - left}[variant]
        gradient = torch.autograd.grad(weight * ((whole.sort().values - ideal) ** 2).mean() - gain, grid)[0]
        buffer = gradient if buffer is None else 0.9 * buffer + 0.1 * gradient
        grid, weight = (grid.detach() - 0.01 * buffer).clamp(0, 1), weight * 1.0035
    return mask.detach()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
def test_torchray_is_a_literal_descent_on_masks_with_a_margin(batch: Batch, variant: str) -> None:
    trace = Trace(toy_classifier("dense"), batch)
    options = {"variant": variant, "max_iter": 8, **SMALL}
    found = extremal(trace, areas=(0.2, 0.3), smooth=0.1, compat="torchray", **options)
    for image in range(4):
        total = sum(_descent_of_torchray(trace, image, area, variant, 2, 8) for area in (0.2, 0.3))
        torch.testing.assert_close(found[image], blur(total, 1.2, zero_padding=True), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("variant", ["preserve", "delete"])
def test_torchray_is_a_literal_descent_where_pixels_of_the_mask_are_zero(variant: str) -> None:
    """The image scores less than its blur at each pixel, so the reward pulls all to zero, and the area a few of them back."""
    image = toy_batch().images[:1].double()
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 2))
    network[1].weight.data = -5 * (image - blur(image, 4.0, zero_padding=True)).sign().flatten().expand(2, -1)
    trace = Trace(Classifier(network, mean=0, std=1), Batch(("a",), image, torch.tensor([1])))
    options = {"variant": variant, "max_iter": 100, "step": 1, "sigma": 1.0, "blur_sigma": 4.0, "jitter": False}
    found = extremal(trace, areas=(0.2,), smooth=0.0, compat="torchray", **options)[0]
    assert 0.2 < (found == 0).double().mean() < 0.9
    torch.testing.assert_close(found, _descent_of_torchray(trace, 0, 0.2, variant, 1, 100, jitter=False), rtol=1e-6, atol=1e-6)


def test_a_margin_of_torchray_that_does_not_cover_the_image_is_refused(planted: Trace) -> None:
    with pytest.raises(UsageError, match="use sigma=14"):
        extremal(planted, areas=(0.1,), max_iter=1, step=7, sigma=9.5, compat="torchray")


def test_the_sum_is_blurred_by_a_share_of_the_shorter_side(planted: Trace) -> None:
    plain = extremal(planted, areas=(0.2,), max_iter=3, smooth=0.0, **SMALL)
    torch.testing.assert_close(extremal(planted, areas=(0.2,), max_iter=3, smooth=0.1, **SMALL), blur(plain, 2.0))


def test_costs_a_forward_and_a_backward_for_each_area_and_step_and_one_forward_of_the_copy(batch: Batch) -> None:
    for variant, times in (("preserve", 1), ("dual", 2)):
        for search_dtype, logits in (("float64", 2), ("network", 1)):
            trace = Trace(toy_classifier(), batch)
            extremal(trace, areas=(0.1, 0.3), variant=variant, max_iter=3, search_dtype=search_dtype, **SMALL)
            spent = trace.classifier.passes
            assert (spent.forward, spent.backward) == (4 * logits + 4 * 2 * 3 * times, 4 * 2 * 3 * times)


def test_searches_in_float64_unless_the_network_s_dtype_is_asked_for(batch: Batch) -> None:
    exact, single = (extremal(Trace(toy_classifier(), batch), search_dtype=dtype, **FEW) for dtype in ("float64", "network"))
    assert (exact.dtype, single.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)
    assert not torch.equal(single.double(), exact)
    double = Trace(toy_classifier().double(), batch)
    torch.testing.assert_close(extremal(double, search_dtype="network", **FEW), exact, rtol=0, atol=1e-12)  # needs no copy


@pytest.mark.parametrize("areas", [(), (0.1, 1.0), (-0.1,)])
def test_areas_that_are_no_share_are_refused(planted: Trace, areas: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="areas"):
        extremal(planted, areas=areas)
