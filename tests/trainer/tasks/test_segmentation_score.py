"""The score of a split against scikit-learn on all of its pixels, and its interval against resamples drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score
from torch import Tensor, nn

from camdbench.functional.confusion_matrix import VOID
from camdbench.models.classifier import Classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.tasks.segmentation_score import SegmentationScore, score_segmenter
from camdbench.trainer.tasks.segmenter import Segmenter

COUNT, CLASSES = 37, 5


class Reader(Segmenter):
    """Says of each pixel the class that its red stands for."""

    def forward(self, images: Tensor) -> Tensor:
        return F.one_hot((images[:, 0] * 255).round().long(), CLASSES + 1).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Reader(Classifier(network, "1", mean=0.5, std=0.25), 8, CLASSES + 1, layer="1", backbone="frozen")


@pytest.fixture(scope="module")
def scenes() -> InMemorySplit:
    """What is said is right more often than by chance; of six classes the last is nowhere, the one before is said and nowhere true."""
    random = torch.Generator().manual_seed(2)
    maps = torch.randint(CLASSES - 1, (COUNT, 8, 6), generator=random, dtype=torch.uint8)
    pixels = torch.randint(CLASSES, (COUNT, 3, 8, 6), generator=random, dtype=torch.uint8)
    pixels[:, 0] = torch.where(torch.rand(maps.shape, generator=random) < torch.rand(COUNT, 1, 1, generator=random), maps, pixels[:, 0])
    maps[torch.rand(maps.shape, generator=random) < 0.1] = VOID
    return InMemorySplit(pixels, torch.zeros(COUNT, dtype=torch.int64), tuple("abcde"), "f", tuple(map(str, range(COUNT))), maps)


@pytest.fixture(scope="module")
def said(scenes: InMemorySplit) -> Tensor:
    return scenes.pixels[:, 0]


def found(segmenter: Segmenter, scenes: InMemorySplit, *, background: bool = True) -> SegmentationScore:
    return score_segmenter(segmenter, scenes, background=background, device=torch.device("cpu"))


@pytest.mark.parametrize("background", [True, False])
def test_it_is_scikit_learns_over_all_pixels(segmenter: Segmenter, scenes: InMemorySplit, said: Tensor, background: bool) -> None:
    score, known = found(segmenter, scenes, background=background), scenes.masks != VOID
    truth, given = scenes.masks[known].numpy(), said[known].numpy()
    assert set(given.tolist()) == set(range(CLASSES))
    names = range(0 if background else 1, CLASSES)
    assert score.miou == pytest.approx(100 * jaccard_score(truth, given, average="macro", labels=list(names)), rel=1e-12)
    assert score.accuracy == pytest.approx(100 * accuracy_score(truth, given), rel=1e-6)
    assert np.array_equal(score.matrix, confusion_matrix(truth, given, labels=range(CLASSES + 1)))
    each = 100 * jaccard_score(truth, given, average=None, labels=list(range(CLASSES)))
    assert list(score.classes.values()) == pytest.approx([*each, float("nan")], nan_ok=True)
    assert list(score.classes) == ["background", *"abcde"]
    commonest = np.full_like(truth, np.bincount(truth).argmax())
    present = [name for name in names if (truth == name).any()]
    assert score.majority == pytest.approx(100 * jaccard_score(truth, commonest, average="macro", labels=present), rel=1e-12)


def test_the_interval_is_that_of_images_drawn_again(segmenter: Segmenter, scenes: InMemorySplit, said: Tensor) -> None:
    score, known, rng = found(segmenter, scenes), scenes.masks != VOID, np.random.default_rng(7)
    each = [(scenes.masks[index][known[index]].numpy(), said[index][known[index]].numpy()) for index in range(COUNT)]
    again = []
    for _ in range(400):
        chosen = rng.integers(0, COUNT, COUNT)
        truth, given = (np.concatenate([each[index][part] for index in chosen]) for part in (0, 1))
        again.append(100 * jaccard_score(truth, given, average="macro"))
    low, high = np.percentile(again, [2.5, 97.5])
    assert (score.low, score.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    assert score.low < score.miou < score.high


def test_the_classifier_is_left_as_it_was(segmenter: Segmenter, scenes: InMemorySplit) -> None:
    weights = segmenter.classifier.weights_hash()
    segmenter.classifier.train()
    found(segmenter, scenes)
    assert segmenter.classifier.network.training
    assert segmenter.classifier.weights_hash() == weights
