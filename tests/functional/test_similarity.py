"""Likeness of maps against scipy's rank correlation and scikit-image's structural similarity and histograms."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from camdbench.functional.normalise import normalise, upsample
from camdbench.functional.similarity import Similarity, similarity, similarity_to, ssim

ALL: tuple[Similarity, ...] = ("spearman", "spearman_abs", "ssim", "hog")


def pair(height: int = 50, width: int = 64, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(count, height, width, generator=generator)
    second = 0.6 * first + torch.randn(count, height, width, generator=generator)
    first[1], second[1] = first[1].round(), second[1].round()  # ties
    first[2], second[2] = first[2].relu(), second[2].relu()  # half of all places zero
    return first, second


def test_rank_correlation_is_scipys() -> None:
    first, second = pair()
    found = similarity(first, second, "spearman").tolist()
    absolute = similarity(first, second, "spearman_abs").tolist()
    for index, (a, b) in enumerate(zip(first.numpy(), second.numpy(), strict=True)):
        assert found[index] == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-10)
        assert absolute[index] == pytest.approx(spearmanr(abs(a).ravel(), abs(b).ravel()).statistic, abs=1e-10)
    assert abs(found[0] - absolute[0]) > 0.1


def test_rank_correlation_of_upsampled_maps_is_scipys() -> None:
    small = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(5)).relu()
    first, second = upsample(small, (224, 224))  # 30,000 different values and large flat parts
    second[:9] = -0.0  # equal to 0.0
    expected = spearmanr(first.double().numpy().ravel(), second.double().numpy().ravel()).statistic
    assert similarity(first[None], second[None], "spearman").item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [(11, 11), (12, 30), (50, 64)])
def test_structural_similarity_is_scikit_images(size: tuple[int, int]) -> None:
    first, second = (normalise(maps, "range") for maps in pair(*size))
    expected = [
        structural_similarity(a, b, gaussian_weights=True, data_range=1)
        for a, b in zip(first.double().numpy(), second.double().numpy(), strict=True)
    ]
    assert ssim(first, second).tolist() == pytest.approx(expected, abs=1e-12)
    assert similarity(7 * first - 3, second, "ssim").tolist() == pytest.approx(expected, abs=1e-5)


def test_histograms_of_gradients_are_compared_by_rank() -> None:
    first, second = pair()
    found = similarity(first, second, "hog").tolist()
    for index, maps in enumerate(zip(normalise(first, "range").double(), normalise(second, "range").double(), strict=True)):
        described = [hog(item.numpy(), orientations=9, pixels_per_cell=(16, 16), cells_per_block=(3, 3)) for item in maps]
        assert found[index] == pytest.approx(spearmanr(*described).statistic, abs=1e-10)


@pytest.mark.parametrize("how", ALL)
def test_a_map_is_most_like_itself(how: Similarity) -> None:
    first, second = pair()
    torch.testing.assert_close(similarity(first, first, how), torch.ones(3, dtype=torch.float64))
    assert (similarity(first, second, how) < 0.95).all()


@pytest.mark.parametrize("how", ALL)
def test_a_map_prepared_once_is_compared_as_a_pair(how: Similarity) -> None:
    first, second = pair()
    compare = similarity_to(first, how)
    for other in (second, first, -second):
        assert torch.equal(compare(other), similarity(first, other, how))


@pytest.mark.parametrize("how", ["spearman", "spearman_abs", "hog"])
def test_nothing_is_in_common_with_a_constant_map(how: Similarity) -> None:
    first, _ = pair()
    assert similarity(first, torch.zeros_like(first), how).tolist() == [0, 0, 0]
    assert similarity(torch.full_like(first, 2), first, how).tolist() == [0, 0, 0]


@pytest.mark.parametrize("how", ALL)
def test_a_map_that_is_not_finite_has_no_likeness_and_spoils_no_other(how: Similarity) -> None:
    first, second = pair()
    expected = similarity(first, second, how)
    second[0, 3, 4] = torch.nan
    found = similarity(first, second, how)
    assert found[0].isnan()
    assert torch.equal(found[1:], expected[1:])


def test_maps_smaller_than_a_window_have_no_structure() -> None:
    assert similarity(*pair(10, 40), "ssim").isnan().all()
    assert similarity(*pair(47, 64), "hog").isnan().all()
    assert similarity(*pair(1, 1), "spearman").tolist() == [0, 0, 0]


@pytest.mark.parametrize("how", ALL)
def test_no_pair_depends_on_the_others(how: Similarity) -> None:
    first, second = pair()
    together = similarity(first, second, how)
    alone = torch.cat([similarity(first[index : index + 1], second[index : index + 1], how) for index in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
