"""Mean IoU and pixel accuracy of a segmenter on a split, from one confusion matrix over all pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from camdbench.functional.confusion_matrix import class_ious, confusion, intersections, unions
from camdbench.tables.aggregates import CellData
from camdbench.tables.intervals import aggregate_interval
from camdbench.trainer.split_data import BACKGROUND, Split
from camdbench.trainer.tasks.segmentation import class_maps
from camdbench.trainer.tasks.segmenter import Segmenter

_REDUCTION = "mean intersection over union"
_BATCH_SIZE = 16


@dataclass(frozen=True)
class SegmentationScore:
    """Score of a segmenter on a split, in per cent.

    Attributes:
        count: number of images.
        miou: intersection over union of each class over the pixels of all images, mean over the classes that occur.
        low: lower end of its 95 % bootstrap interval over images; NaN for a single image.
        high: upper end of that interval.
        accuracy: fraction of correct pixels, background included.
        majority: mean IoU of predicting the most frequent class everywhere.
        classes: IoU of each class and the background by name; NaN for a class that neither occurs nor is predicted.
        matrix: (C, C) int64 confusion matrix, rows true, columns predicted.
    """

    count: int
    miou: float
    low: float
    high: float
    accuracy: float
    majority: float
    classes: dict[str, float]
    matrix: Tensor


def pixel_classes(split: Split) -> tuple[str, ...]:
    """Names of the classes of a pixel: the background, then the classes of the split."""
    return ("background", *split.classes)


def score_segmenter(segmenter: Segmenter, split: Split, *, background: bool, device: torch.device) -> SegmentationScore:
    """Score a segmenter on a split; void pixels are ignored. The classifier is left unchanged.

    Args:
        segmenter: on the device.
        split: images with class maps as masks.
        background: whether the mean IoU includes the background.
        device: device of the segmenter.
    """
    names = pixel_classes(split)
    whole, above, below = torch.zeros(len(names), len(names), dtype=torch.int64), list[Tensor](), list[Tensor]()
    with segmenter.evaluating():
        for batch in split.batches(_BATCH_SIZE):
            predicted = segmenter(batch.images.to(device)).argmax(1)
            matrices = confusion(predicted, class_maps(batch).to(device), len(names)).cpu()
            whole += matrices.sum(0)
            above.append(intersections(matrices))
            below.append(unions(matrices))
    return score_of(whole, torch.cat(above), torch.cat(below), names, background=background)


def score_of(whole: Tensor, above: Tensor, below: Tensor, names: tuple[str, ...], *, background: bool) -> SegmentationScore:
    """The score of a split.

    Args:
        whole: (C, C) confusion matrix.
        above: (N, C) intersections of each image.
        below: (N, C) unions of each image.
        names: names of the C classes, the background first.
        background: whether the mean IoU includes the background.
    """
    kept = [index for index in range(len(names)) if background or index != BACKGROUND]
    low, high = _interval(above[:, kept], below[:, kept])
    ious = 100 * class_ious(whole)
    pixels = whole.sum(1)
    everywhere = torch.zeros_like(whole)
    everywhere[:, int(pixels.argmax())] = pixels
    return SegmentationScore(
        count=len(above),
        miou=ious[kept].nanmean().item(),
        low=low,
        high=high,
        accuracy=float(100 * intersections(whole).sum() / whole.sum()),
        majority=100 * class_ious(everywhere)[kept].nanmean().item(),
        classes=dict(zip(names, ious.tolist(), strict=True)),
        matrix=whole,
    )


def _interval(above: Tensor, below: Tensor) -> tuple[float, float]:
    places = np.arange(above.shape[1], dtype=np.float64)
    parts = {"intersection": above, "union": below}
    cell = CellData(np.zeros(len(above)), {name: (places, part.double().numpy()) for name, part in parts.items()})
    low, high = 100 * aggregate_interval(_REDUCTION, cell)
    return float(low), float(high)
