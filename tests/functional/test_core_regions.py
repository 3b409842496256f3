"""Core regions against sums over classes and places written out, and identities of the ContrastiveCAM paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from camdbench.functional import core_regions
from camdbench.functional.core_regions import contributions, overlap, overlap_with_others, reconstructed_map, redundancy

B, C, K, H, W = 3, 4, 6, 5, 2
CLASSES = torch.tensor([2, 0, 3])


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def activations() -> Tensor:
    return random(B, K, H, W, seed=0)


@pytest.fixture
def weights() -> Tensor:
    return random(C, K, seed=1)


@pytest.fixture
def core() -> Tensor:
    return random(B, H, W, seed=2) > 0.3


def cam(activations: Tensor, weights: Tensor, image: int, name: int, row: int, column: int) -> float:
    """One place of the HiResCAM of a class, literally eq. 3."""
    return sum(float(weights[name, k]) * float(activations[image, k, row, column]) for k in range(K)) / (H * W)


def test_contributions_are_the_sums_written_out(activations: Tensor, weights: Tensor, core: Tensor) -> None:
    found = contributions(activations, weights, CLASSES, core)
    for image, own in enumerate(CLASSES.tolist()):
        inside = outside = 0.0
        for row in range(H):
            for column in range(W):
                mine = cam(activations, weights, image, own, row, column)
                size = sum(abs(mine - cam(activations, weights, image, other, row, column)) for other in range(C))
                inside, outside = (inside + size, outside) if core[image, row, column] else (inside, outside + size)
        assert found.core[image].item() == pytest.approx(inside)
        assert found.noncore[image].item() == pytest.approx(outside)


def test_what_all_classes_share_changes_no_contribution_even_where_it_is_large(core: Tensor) -> None:
    """Theorem 3.2: any M added to all maps; in float32, where subtracting large maps would lose the difference."""
    activations, weights = random(B, K, H, W, seed=0).float().abs(), random(C, K, seed=1).float()
    shifted = (weights.double() + 3e5 * random(K, seed=3)).float()
    differences = shifted.double() - shifted.double().mean(0)  # what float32 has left of the differences
    expected = contributions(activations.double(), differences, CLASSES, core)
    found = contributions(activations, shifted, CLASSES, core)
    torch.testing.assert_close(found.core, expected.core, rtol=2e-2, atol=0)


def test_a_few_classes_at_a_time_are_all_classes(
    activations: Tensor, weights: Tensor, core: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, overlaps = contributions(activations, weights, CLASSES, core), overlap_with_others(activations, weights, CLASSES, core, 0.1)
    for numbers in (1, 3 * B * H * W):
        monkeypatch.setattr(core_regions, "_NUMBERS", numbers)
        torch.testing.assert_close(contributions(activations, weights, CLASSES, core), whole)
        torch.testing.assert_close(overlap_with_others(activations, weights, CLASSES, core, 0.1), overlaps)


def test_the_reconstructed_map_is_the_mean_of_the_contrasts(activations: Tensor, weights: Tensor) -> None:
    """Definition 3.4 by definition 3.3."""
    found = reconstructed_map(activations, weights, CLASSES)
    for image, own in enumerate(CLASSES.tolist()):
        for row in range(H):
            mine = cam(activations, weights, image, own, row, 1)
            mean = sum(mine - cam(activations, weights, image, other, row, 1) for other in range(C)) / C
            assert found[image, row, 1].item() == pytest.approx(mean)


def test_redundancy_is_the_ratio_of_norms_written_out(activations: Tensor, weights: Tensor) -> None:
    found = redundancy(activations, weights, CLASSES)
    for image, own in enumerate(CLASSES.tolist()):
        above = below = 0.0
        for row in range(H):
            for column in range(W):
                maps = [cam(activations, weights, image, name, row, column) for name in range(C)]
                above, below = above + (sum(maps) / C) ** 2, below + maps[own] ** 2
        assert found[image].item() == pytest.approx((above / below) ** 0.5)


def test_redundancy_is_zero_without_a_common_part_one_where_all_is_common_and_none_of_a_dead_map(activations: Tensor) -> None:
    balanced = torch.stack([torch.ones(K), -torch.ones(K)]).double()
    assert redundancy(activations, balanced, CLASSES.clamp(max=1)).abs().max() < 1e-12
    torch.testing.assert_close(redundancy(activations, torch.ones(2, K).double(), CLASSES.clamp(max=1)), torch.ones(B).double())
    assert redundancy(torch.zeros_like(activations), balanced, CLASSES.clamp(max=1)).isnan().all()


@pytest.mark.parametrize(("threshold", "scaled"), [(0.1, False), (0.6, True)])
def test_overlap_with_others_is_the_mean_over_the_other_classes(
    activations: Tensor, weights: Tensor, core: Tensor, threshold: float, scaled: bool
) -> None:
    found = overlap_with_others(activations, weights, CLASSES, core, threshold, scaled=scaled)
    places = [(row, column) for row in range(H) for column in range(W)]
    for image, own in enumerate(CLASSES.tolist()):
        ratios = list[float]()
        for other in (name for name in range(C) if name != own):
            gains = [cam(activations, weights, image, own, *place) - cam(activations, weights, image, other, *place) for place in places]
            low, high = (min(gains), max(gains)) if scaled else (0, 1)
            above = {place for place, gain in zip(places, gains, strict=True) if (gain - low) / (high - low) > threshold}
            inside = {place for place in places if core[image][place]}
            ratios.append(len(above & inside) / len(above | inside))
        assert found[image].item() == pytest.approx(sum(ratios) / 3)


def test_overlap_of_nothing_with_nothing_is_none() -> None:
    empty, full = torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    assert overlap(empty, empty).isnan()
    assert overlap(full, full) == 1
    assert overlap(empty, full) == 0
