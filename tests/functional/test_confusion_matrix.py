"""Confusion of class maps against scikit-learn and a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import Tensor

from camdbench.functional.confusion_matrix import VOID, class_ious, confusion, intersections, unions

CLASSES = 6


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    """What was said and what is true of three images; class 4 is nowhere true, class 5 is nowhere at all, and some pixels are void."""
    random = torch.Generator().manual_seed(3)
    said, truth = torch.randint(5, (3, 7, 9), generator=random), torch.randint(4, (3, 7, 9), generator=random)
    truth[torch.rand(truth.shape, generator=random) < 0.2] = VOID
    return said, truth.to(torch.uint8)


def test_it_is_scikit_learns(maps: tuple[Tensor, Tensor]) -> None:
    said, truth = maps
    found = confusion(said, truth, CLASSES)
    assert found.dtype == torch.int64
    for image in range(3):
        known = truth[image] != VOID
        expected = confusion_matrix(truth[image][known], said[image][known], labels=range(CLASSES))
        assert np.array_equal(found[image], expected)


def test_of_more_than_256_classes_255_alone_is_void() -> None:
    truth, said = torch.tensor([[[254, 255, 256, 299]]]), torch.tensor([[[254, 254, 299, 299]]])
    found = confusion(said, truth, 300)[0]
    assert found.nonzero().tolist() == [[254, 254], [256, 299], [299, 299]]
    assert found.sum() == 3


def test_overlaps_are_those_of_a_loop_over_pixels(maps: tuple[Tensor, Tensor]) -> None:
    said, truth = maps
    both, either = [0] * CLASSES, [0] * CLASSES
    for own, other in zip(truth.flatten().tolist(), said.flatten().tolist(), strict=True):
        for name in range(CLASSES):
            both[name] += own == name == other
            either[name] += own != VOID and name in (own, other)
    whole = confusion(said, truth, CLASSES).sum(0)
    assert intersections(whole).tolist() == both
    assert unions(whole).tolist() == either
    assert either[4] > 0
    assert class_ious(whole).tolist() == pytest.approx(
        [b / e if e else float("nan") for b, e in zip(both, either, strict=True)], nan_ok=True
    )


def test_their_mean_over_the_classes_that_occur_is_scikit_learns(maps: tuple[Tensor, Tensor]) -> None:
    said, truth = maps
    known = truth != VOID
    found = class_ious(confusion(said, truth, CLASSES).sum(0)).nanmean()
    assert found.item() == pytest.approx(jaccard_score(truth[known], said[known], average="macro"), rel=1e-12)


def test_images_do_not_mix(maps: tuple[Tensor, Tensor]) -> None:
    said, truth = maps
    whole = confusion(said, truth, CLASSES)
    assert torch.cat([confusion(said[[index]], truth[[index]], CLASSES) for index in range(3)]).equal(whole)
