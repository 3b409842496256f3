"""Accuracy without the object, against one image at a time, altered by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.functional.tiling import tile_objects
from camdbench.metrics.ablation import ablation_accuracy
from camdbench.metrics.accuracy import accuracy
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier

COUNT = 24


@pytest.fixture
def classifier() -> Classifier:
    """A network that takes images of any size and predicts several classes."""
    classifier = toy_classifier("gap").requires_grad_(False)
    classifier.network.head[-1].bias -= classifier(toy_batch(COUNT, size=(16, 16)).images).mean(0)
    return classifier


@pytest.fixture
def batch(classifier: Classifier) -> Batch:
    """Square images whose labels are what the network predicts, objects of many sizes, the last without one."""
    batch, masks = toy_batch(COUNT, size=(16, 16)), torch.zeros(COUNT, 16, 16, dtype=torch.bool)
    for index in range(COUNT - 1):
        masks[index, index % 5 : index % 5 + 3 + index % 9, 2 : 4 + index % 11] = True
        masks[index, 13 : 13 + index % 3, 12] = True
    images = (batch.images - 0.5) * 0.6 + 0.5
    return replace(batch, images=images, masks=masks, labels=classifier(images).argmax(1))


def seen(classifier: Classifier, batch: Batch) -> MetricInputs:
    return MetricInputs(classifier, batch.images, batch.labels, labels=batch.labels, masks=batch.masks)


def by_hand(image: Tensor, mask: Tensor, ablation: str, official: bool) -> Tensor:
    image = image.clone()
    if not mask.any():
        return image
    if ablation == "gray_mask":
        for row, column in mask.nonzero().tolist():
            image[:, row, column] = 0.5
    elif ablation == "gray_bbox":
        rows, columns = mask.nonzero().T.tolist()
        for row in range(min(rows), max(rows) + (not official)):
            for column in range(min(columns), max(columns) + (not official)):
                image[:, row, column] = 0.5
    else:
        image = tile_objects(image[None], mask[None], official=official).images[0]
    return image


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("ablation", ["gray_mask", "gray_bbox", "tile"])
def test_the_label_is_looked_for_on_the_altered_image(classifier: Classifier, batch: Batch, ablation: str, official: bool) -> None:
    found = ablation_accuracy(
        seen(classifier, batch), ablation=ablation, ground_truth="official" if official else "fixed", empty="unchanged"
    )
    expected = list[float]()
    for image, mask, label in zip(batch.images, batch.masks, batch.labels.tolist(), strict=True):
        logits = classifier(by_hand(image, mask, ablation, official)[None])[0].tolist()
        expected.append(100.0 * (logits.index(max(logits)) == label))
    assert found.values.tolist() == expected
    assert set(expected) == {0, 100}
    assert not found.undefined.any()


def test_official_and_mended_boxes_are_told_apart(classifier: Classifier, batch: Batch) -> None:
    evidence = seen(classifier, batch)
    for ablation in ("gray_bbox", "tile"):
        fixed, official = (
            ablation_accuracy(evidence, ablation=ablation, ground_truth=geometry).values for geometry in ("fixed", "official")
        )
        assert not fixed.nan_to_num(-1).equal(official.nan_to_num(-1))


def test_none_is_accuracy(classifier: Classifier, batch: Batch) -> None:
    wrong = replace(batch, labels=(batch.labels + torch.arange(COUNT) % 2) % 5)
    found = ablation_accuracy(seen(classifier, wrong), ablation="none")
    assert found.values.equal(accuracy(seen(classifier, wrong)).values)
    assert found.values.tolist() == [100, 0] * (COUNT // 2)


def test_without_an_object_there_is_nothing_to_take_out(classifier: Classifier, batch: Batch) -> None:
    for ablation in ("gray_mask", "gray_bbox", "tile"):
        found = ablation_accuracy(seen(classifier, batch), ablation=ablation)
        assert found.undefined.nonzero().flatten().tolist() == [COUNT - 1]
        assert ablation_accuracy(seen(classifier, batch), ablation=ablation, empty="unchanged").values[-1] == 100


def test_an_object_that_leaves_no_tile_is_undefined(classifier: Classifier, batch: Batch) -> None:
    full = replace(batch, masks=torch.ones_like(batch.masks))
    assert ablation_accuracy(seen(classifier, full), ablation="tile").undefined.all()
    assert not ablation_accuracy(seen(classifier, full), ablation="tile", ground_truth="official").undefined.any()


def test_the_releases_tiles_need_square_images(classifier: Classifier) -> None:
    with pytest.raises(NotApplicable, match="square images only; ground_truth='fixed'"):
        ablation_accuracy(seen(classifier, toy_batch()), ablation="tile", ground_truth="official")


def test_no_masks_no_ablation(classifier: Classifier, batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="there is no mask"):
        ablation_accuracy(seen(classifier, replace(batch, masks=None)))


def test_an_unknown_label_is_undefined(classifier: Classifier, batch: Batch) -> None:
    unknown = replace(batch, labels=torch.where(torch.arange(COUNT) == 2, -1, batch.labels))
    for ablation in ("none", "gray_mask"):
        assert ablation_accuracy(seen(classifier, unknown), ablation=ablation, empty="unchanged").undefined.nonzero().tolist() == [[2]]
