"""Core-focused losses, held to slow literal readings of the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.core_focused_loss import (
    class_maps,
    contrasts,
    core_divergence,
    core_focused_binary_logits,
    core_focused_logits,
    core_of,
    divergence,
    mixed_exponents,
    on_grid,
)

B, C, K, ROWS, COLUMNS = 3, 4, 5, 2, 3


@pytest.fixture
def parts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Activations, weights, core and targets."""
    random = torch.Generator().manual_seed(0)
    activations = torch.randn(B, K, ROWS, COLUMNS, generator=random, dtype=torch.float64)
    weights = 4 * torch.randn(C, K, generator=random, dtype=torch.float64)
    core = (torch.rand(B, ROWS, COLUMNS, generator=random) < 0.5).double()
    return activations, weights, core, torch.tensor([2, 0, 3])


def _cam(activations: Tensor, weights: Tensor, image: int, c: int, i: int, j: int) -> float:
    return sum(float(weights[c, k] * activations[image, k, i, j]) for k in range(K)) / (ROWS * COLUMNS)


def _places() -> list[tuple[int, int]]:
    return [(i, j) for i in range(ROWS) for j in range(COLUMNS)]


def _equation_15(activations: Tensor, weights: Tensor, core: Tensor, image: int, t: int) -> float:
    total = 0.0
    for c in range(C):
        inside = outside = 0.0
        for i, j in _places():
            cc = _cam(activations, weights, image, t, i, j) - _cam(activations, weights, image, c, i, j)
            inside += float(core[image, i, j]) * cc
            outside += (1 - float(core[image, i, j])) * abs(cc)
        total += math.exp(-inside + outside)
    return math.log(total)


def _kl(p: list[float], q: list[float]) -> float:
    return sum(x * math.log(x / y) for x, y in zip(p, q, strict=True) if x > 0)


def _softmax(values: list[float]) -> list[float]:
    top = max(values)
    return [math.exp(value - top) / sum(math.exp(other - top) for other in values) for value in values]


def test_maps_add_up_to_the_logits(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, _, _ = parts
    maps = class_maps(activations, weights)
    assert float(maps[1, 2, 0, 1]) == pytest.approx(_cam(activations, weights, 1, 2, 0, 1))
    torch.testing.assert_close(maps.sum((2, 3)), activations.mean((2, 3)) @ weights.T)


def test_a_class_against_itself_is_exactly_zero_and_another_is_the_difference(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, _, targets = parts
    found = contrasts(activations, weights, targets)
    maps = class_maps(activations, weights)
    for image, target in enumerate(targets.tolist()):
        assert not found[image, target].any()
        torch.testing.assert_close(found[image], maps[image, target] - maps[image])


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_cfce_is_equation_15(parts: tuple[Tensor, Tensor, Tensor, Tensor], chunk: int) -> None:
    activations, weights, core, targets = parts
    exponents = core_focused_logits(activations, weights, core, targets, chunk=chunk)
    found = F.cross_entropy(exponents, targets, reduction="none").tolist()
    assert found == pytest.approx([_equation_15(activations, weights, core, image, int(targets[image])) for image in range(B)])
    assert min(found) >= 0
    assert exponents.gather(1, targets[:, None]).abs().max() == 0


def test_exponents_of_mixed_images_are_equation_73(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, _, targets = parts
    owners = torch.tensor([[[2, 2, -1], [0, 1, 3]], [[-1, 3, 3], [0, 0, 1]], [[2, -1, 3], [1, 1, 0]]])
    found = mixed_exponents(activations, weights, owners, targets)
    for image, t in enumerate(targets.tolist()):
        for c in range(C):
            total = 0.0
            for i, j in _places():
                cc = _cam(activations, weights, image, t, i, j) - _cam(activations, weights, image, c, i, j)
                total += {t: -cc, c: cc, -1: abs(cc)}.get(int(owners[image, i, j]), 0.0)  # for c = t all are 0
            assert float(found[image, c]) == pytest.approx(total, abs=1e-12)


def test_with_core_everywhere_it_is_cross_entropy(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, core, targets = parts
    logits = activations.mean((2, 3)) @ weights.T
    exponents = core_focused_logits(activations, weights, torch.ones_like(core), targets)
    torch.testing.assert_close(F.cross_entropy(exponents, targets), F.cross_entropy(logits, targets))


def test_a_map_that_all_classes_share_changes_nothing(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    """Theorem 3.2: W + 1 v' adds one M to every class's map."""
    activations, weights, core, targets = parts
    shifted = weights + torch.randn(K, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (class_maps(activations, shifted) - class_maps(activations, weights)).abs().max() > 0.1
    torch.testing.assert_close(
        core_focused_logits(activations, shifted, core, targets), core_focused_logits(activations, weights, core, targets)
    )
    options = {"sharpness": 1e3, "scale": 10.0}
    torch.testing.assert_close(
        core_divergence(activations, shifted, core, targets, **options), core_divergence(activations, weights, core, targets, **options)
    )


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_divergence_is_equation_18(parts: tuple[Tensor, Tensor, Tensor, Tensor], chunk: int) -> None:
    activations, weights, core, targets = parts
    expected = []
    for image, t in enumerate(targets.tolist()):
        wanted = _softmax([3.0 * float(core[image, i, j]) for i, j in _places()])
        total = 0.0
        for c in range(C):
            if c != t:
                cc = [_cam(activations, weights, image, t, i, j) - _cam(activations, weights, image, c, i, j) for i, j in _places()]
                total += _kl(wanted, _softmax([2.0 * value for value in cc]))
        expected.append(total / (C - 1))
    assert core_divergence(activations, weights, core, targets, sharpness=3.0, scale=2.0, chunk=chunk).tolist() == pytest.approx(expected)


def test_at_the_papers_lambdas_the_divergence_is_finite_and_keeps_its_gradient() -> None:
    """At lambda_2 = 1000 softmax(H) is uniform on H: KL = -log|H| - mean_H log softmax(10 CC)."""
    maps = (100 * torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(2))).requires_grad_()
    core = torch.zeros(4, 6, 6)
    core[:, 1:3, 1:5] = 1
    found = divergence(maps, core, sharpness=1e3, scale=10.0)
    logs = (10 * maps).flatten(1).log_softmax(1)
    torch.testing.assert_close(found, -math.log(8) - (logs * core.flatten(1)).sum(1) / 8)
    (gradient,) = torch.autograd.grad(found.sum(), maps)
    assert gradient.isfinite().all()
    assert float(gradient[core > 0].abs().min()) > 0.1
    assert float(divergence(core, core, sharpness=7.0, scale=7.0).abs().max()) < 1e-6


def test_exponents_of_a_thousand_are_stable() -> None:
    activations = 1e3 * torch.ones(1, 1, 2, 2)
    exponents = core_focused_logits(activations, torch.tensor([[0.0], [1.0], [-1.0]]), torch.zeros(1, 2, 2), torch.tensor([0]))
    assert exponents.tolist() == [[0.0, 1e3, 1e3]]
    assert float(F.cross_entropy(exponents, torch.tensor([0]))) == pytest.approx(1000 + math.log(2))


def test_gradients_are_right_however_classes_are_cut(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, core, targets = parts
    for chunk in (2, 100):

        def loss(a: Tensor, w: Tensor, chunk: int = chunk) -> Tensor:
            cfce = F.cross_entropy(core_focused_logits(a, w, core, targets, chunk=chunk), targets, reduction="none")
            return cfce + core_divergence(a, w, core, targets, sharpness=1e3, scale=1.0, chunk=chunk)

        assert torch.autograd.gradcheck(loss, (activations.clone().requires_grad_(), weights.clone().requires_grad_()))


def test_cfbce_is_equation_71(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, _, _ = parts
    core = (torch.rand(B, C, ROWS, COLUMNS, generator=torch.Generator().manual_seed(3)) < 0.5).double()
    labels = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.float64)
    maps = class_maps(activations, weights)
    logits = maps.sum((2, 3))
    expected = []
    for image in range(B):
        total = 0.0
        for c in range(C):
            if labels[image, c]:
                inside = sum(float(core[image, c, i, j]) * _cam(activations, weights, image, c, i, j) for i, j in _places())
                outside = sum((1 - float(core[image, c, i, j])) * abs(_cam(activations, weights, image, c, i, j)) for i, j in _places())
                total += math.log(1 / (1 + math.exp(-(inside - outside))))
            else:
                total += math.log(1 - 1 / (1 + math.exp(-float(logits[image, c]))))
        expected.append(-total / C)
    taken = core_focused_binary_logits(maps, core, logits, labels)
    found = F.binary_cross_entropy_with_logits(taken, labels, reduction="none").mean(1)
    assert found.tolist() == pytest.approx(expected)


def test_cfbce_with_core_everywhere_takes_the_logits_and_a_bias_counts(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    activations, weights, _, _ = parts
    maps = class_maps(activations, weights)
    logits = maps.sum((2, 3)) + torch.arange(C)
    labels = torch.ones(B, C, dtype=torch.float64)
    torch.testing.assert_close(core_focused_binary_logits(maps, torch.ones(B, 1, ROWS, COLUMNS).double(), logits, labels), logits)


class TestTheCore:
    def test_a_cell_takes_the_pixel_at_its_centre(self) -> None:
        masks = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(4)) < 0.5
        for size in ((2, 3), (4, 4), (3, 5)):
            found = on_grid(masks, size)
            for i in range(size[0]):
                for j in range(size[1]):
                    row, column = int((i + 0.5) * 8 / size[0]), int((j + 0.5) * 12 / size[1])
                    assert torch.equal(found[:, i, j], masks[:, row, column].float())

    def test_an_empty_mask_means_everywhere(self) -> None:
        masks = torch.zeros(3, 8, 8, dtype=torch.bool)
        masks[1, 2:6, 2:6] = True
        masks[2, 0, 0] = True  # lost on the grid
        core, empty = core_of(masks, (2, 2))
        assert empty.tolist() == [True, False, True]
        assert core[0].min() == core[2].min() == 1
        assert core[1].max() == 1

    def test_masks_of_every_class_keep_their_axes(self) -> None:
        assert on_grid(torch.zeros(2, 5, 8, 8), (2, 4)).shape == (2, 5, 2, 4)
