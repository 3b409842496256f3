"""The agreement of class maps with the truth: place by place, as the released code says it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.toys import CLASSES, SIZE, toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.hirescam import hirescam
from camdbench.functional import core_regions
from camdbench.metrics.cam_agreement import cam_agreement
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier

ROWS, COLUMNS = 8, 6


@pytest.fixture
def classifier() -> Classifier:
    return toy_classifier("gap").requires_grad_(False)


@pytest.fixture
def batch() -> Batch:
    """Objects of two classes, one of them of no pixel of the grid in the first image, and none at all in the last."""
    masks = torch.zeros(4, CLASSES, *SIZE, dtype=torch.bool)
    masks[0, 1, 3:9, 2:8] = True
    masks[0, 2, 4, 4] = True
    masks[1, 0, :, :6] = masks[1, 4, 2:12, 6:] = True
    masks[2, 3] = True
    return replace(toy_batch(), class_masks=masks, masks=None)


def seen(classifier: Classifier, batch: Batch) -> MetricInputs:
    trace = Trace(classifier, batch, target="predicted")
    known = {"labels": batch.labels, "masks": batch.masks, "class_masks": batch.class_masks, "features": trace, "logits": trace.logits}
    return MetricInputs(classifier, batch.images, trace.targets, **known)


def literally(classifier: Classifier, batch: Batch, threshold: float) -> list[float]:
    """Every place on its own: maps by a backward pass for each class, the pixel in the middle of the place."""
    maps = torch.stack([hirescam(Trace(classifier, batch, target=index), relu=False) for index in range(CLASSES)], 1)
    shares = []
    for image in range(len(batch)):
        right = 0
        for row in range(ROWS):
            for column in range(COLUMNS):
                values = maps[image, :, row, column].tolist()
                said = values.index(max(values)) if max(values) > threshold else None
                pixel = int((row + 0.5) * SIZE[0] / ROWS), int((column + 0.5) * SIZE[1] / COLUMNS)
                there = [index for index in range(CLASSES) if batch.class_masks[image, index][pixel]]
                right += said == (there[0] if there else None)
        shares.append(100 * right / (ROWS * COLUMNS))
    return shares


@pytest.mark.parametrize("threshold", [0.01, 0.0, 0.03])
def test_it_is_the_share_of_places_that_agree(classifier: Classifier, batch: Batch, threshold: float) -> None:
    found = cam_agreement(seen(classifier, batch), threshold=threshold)
    expected = literally(classifier, batch, threshold)
    assert found.values.tolist() == pytest.approx(expected, abs=1e-9)
    assert len(set(expected)) == 4
    assert 0 < max(expected) < 100
    assert not found.undefined.any()


def test_classes_at_a_time_change_nothing(classifier: Classifier, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cam_agreement(seen(classifier, batch)).values
    monkeypatch.setattr(core_regions, "_NUMBERS", 2 * 4 * ROWS * COLUMNS)
    assert cam_agreement(seen(classifier, batch)).values.equal(whole)


def test_a_single_mask_is_of_the_label(classifier: Classifier, batch: Batch) -> None:
    single = toy_batch()
    several = torch.zeros(4, CLASSES, *SIZE, dtype=torch.bool)
    several[range(4), single.labels] = single.masks
    expected = cam_agreement(seen(classifier, replace(single, class_masks=several)))
    assert cam_agreement(seen(classifier, single)).values.equal(expected.values)
    unknown = cam_agreement(seen(classifier, replace(single, labels=torch.tensor([0, -1, 2, 3]))))
    assert unknown.undefined.tolist() == [False, True, False, False]


def test_a_network_that_says_nothing_is_right_on_the_background(classifier: Classifier, batch: Batch) -> None:
    classifier.network.head[-1].weight.data.zero_()
    background = 100 * (1 - batch.class_masks[:, :, 1::2, 1::2].any(1).float().mean((1, 2)))
    assert cam_agreement(seen(classifier, batch)).values.tolist() == pytest.approx(background.tolist(), abs=1e-4)
    assert background[3] == 100


def test_activations_that_are_no_numbers_have_no_value(classifier: Classifier, batch: Batch) -> None:
    evidence = seen(classifier, batch)

    class Broken:
        activations, class_weights = evidence.activations.clone(), evidence.class_weights

    Broken.activations[1, 0, 0, 0] = torch.inf
    known = {"logits": evidence.logits, "labels": batch.labels, "class_masks": batch.class_masks, "features": Broken()}
    found = cam_agreement(MetricInputs(classifier, batch.images, evidence.targets, **known)).values
    assert found.isnan().tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_what_it_cannot_judge_is_refused(classifier: Classifier, batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="there is none"):
        cam_agreement(seen(classifier, replace(batch, class_masks=None)))
    with pytest.raises(NotApplicable, match="of 3 classes, and the network knows 5"):
        cam_agreement(seen(classifier, replace(batch, class_masks=batch.class_masks[:, :3])))
    with pytest.raises(NotApplicable, match="not global average pooling"):
        cam_agreement(seen(toy_classifier("dense").requires_grad_(False), batch))
