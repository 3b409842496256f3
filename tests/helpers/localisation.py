"""Evidence for the metrics of localisation: maps beside boxes and masks, on the toys' images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from camdbench.core.registries import metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from helpers.toys import SIZE, toy_batch, toy_classifier


def evidence_of(saliency: Tensor, *, boxes: Sequence[Sequence[Sequence[float]]] | None = None, **more: Any) -> MetricInputs:
    """Maps (B, 16, 12) on the toy's images; boxes as nested lists, labels as the toy's where not given."""
    batch = toy_batch(len(saliency))
    tensors = None if boxes is None else tuple(torch.tensor(own, dtype=torch.float32).reshape(-1, 4) for own in boxes)
    given = {"labels": batch.labels, "ids": batch.ids, "boxes": tensors} | more
    return MetricInputs(toy_classifier(), batch.images, batch.labels, saliency, **given)


def measure(spec: str, evidence: MetricInputs) -> MetricResult:
    """One metric as a run measures it."""
    parsed = metrics.parse_one(spec)
    return metrics.load(parsed.name)(evidence, **metrics.get(parsed.name).arguments(parsed))


def random_maps(count: int = 6, seed: int = 0, cells: tuple[int, int] = (5, 4)) -> Tensor:
    """(B, 16, 12), smooth maps from 0 to 1."""
    coarse = torch.rand(count, 1, *cells, generator=torch.Generator().manual_seed(seed))
    maps = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear").squeeze(1)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


def random_boxes(count: int = 6, seed: int = 0) -> list[list[list[float]]]:
    """One or two boxes of whole pixels for each image, some of them partly outside."""
    generator = torch.Generator().manual_seed(seed)
    found = list[list[list[float]]]()
    for index in range(count):
        corners = torch.randint(-2, 9, (1 + index % 2, 2), generator=generator)
        sides = torch.randint(3, 9, (1 + index % 2, 2), generator=generator)
        found.append(torch.cat([corners, corners + sides], 1).float().tolist())
    return found


def pixels(box: Sequence[float], size: tuple[int, int] = SIZE) -> set[tuple[int, int]]:
    """The pixels (row, column) of an image whose centres lie in a box."""
    x0, y0, x1, y1 = box
    return {(row, column) for row in range(size[0]) for column in range(size[1]) if x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1}


def box_maps(boxes: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    """The maps that are one in the boxes and zero elsewhere: what no explainer beats."""
    maps = torch.zeros(len(boxes), *SIZE)
    for index, own in enumerate(boxes):
        for row, column in set().union(*map(pixels, own)):
            maps[index, row, column] = 1
    return maps
