"""Sample and Batch: images in [0, 1] with labels and annotations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.functional.file_boxes import FileBoxes


class Interventions(Protocol):
    """Other versions of one image, such as a bird without some of its parts; each is read when it is asked for."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the versions that exist."""
        ...

    def __call__(self, name: str) -> Tensor:
        """Read one version, (3, H, W) float32 in [0, 1], preprocessed as the image.

        Raises:
            SampleError: there is no such version, or its file cannot be read.
        """
        ...


@runtime_checkable
class PartVersions(Interventions, Protocol):
    """Versions of one image without some parts of its object, or without one object of its background."""

    @property
    def part_values(self) -> Mapping[str, Sequence[int]]:
        """Values of each part in `Sample.parts`, by the name of the part, in the order of the names."""
        ...

    @property
    def object_values(self) -> Sequence[int]:
        """Values in `Sample.parts` of the background objects that can be removed."""
        ...

    @property
    def object_numbers(self) -> Sequence[int]:
        """Numbers of these objects."""
        ...

    @property
    def variants(self) -> Sequence[Sequence[int]]:
        """Variant of each part, in the order of `part_values`, of each class."""
        ...

    def with_parts(self, parts: Collection[str]) -> Tensor:
        """The object with these of its parts only, (3, H, W); see `__call__`."""
        ...

    def without_object(self, number: int) -> Tensor:
        """The image without a background object, by its number from 0, (3, H, W); see `__call__`."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image and its annotations; None if the data set has none.

    Attributes:
        id: stable name of the image within its data set and split.
        image: (3, H, W) float32 in [0, 1], never mean/std-normalised.
        label: class index in the network's order.
        boxes: (N, 4) float32 xyxy in pixels, the end exclusive: x1 - x0 is the width.
        mask: (H, W) bool, True on the object.
        background: class index of the background, in data sets with controlled backgrounds; -1: of a random class.
        group: index of the pair of label and background, in data sets that are scored group by group.
        present: (C,) bool, the classes that the image shows, `label` among them; multi-label data sets only.
        class_masks: (C, H, W) bool, the mask of each class; multi-label data sets only.
        boxes_dropped: number of boxes outside the image after preprocessing.
        void: (H, W) bool, unlabelled pixels.
        file_boxes: the boxes as their annotation file states them, which protocols of released codes read; None without a file.
        parts: (H, W) uint8, part of each pixel by the data set's `part_values`; 0: none.
        interventions: other versions of the image, read when they are asked for.
        cells: classes of the cells of a mosaic of n x n images, row by row.
        group_share: fraction of the training images with this pair of label and background, in [0, 1].
    """

    id: str
    image: Tensor
    label: int
    boxes: Tensor | None = None
    mask: Tensor | None = None
    background: int | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None
    boxes_dropped: int = 0
    void: Tensor | None = None
    file_boxes: FileBoxes | None = None
    group: int | None = None
    parts: Tensor | None = None
    interventions: Interventions | None = None
    cells: tuple[int, ...] | None = None
    group_share: float | None = None


@dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked.

    Attributes:
        ids: B stable names.
        images: (B, 3, H, W) float32 in [0, 1].
        labels: (B,) int64; -1 without a label.
        boxes: B tensors (N, 4) xyxy pixels, or None.
        masks: (B, H, W) bool, or None.
        present: (B, C) bool, the classes that each image shows; None for single-label data sets.
        class_masks: (B, C, H, W) bool; None for single-label data sets.
        file_boxes: B boxes as their annotation files state them, or None.
        cells: (B, n * n) int64, classes of the cells of mosaics, row by row, or None.
        backgrounds: (B,) int64, class of the background, -1 if random; None if unknown.
        interventions: B other versions of the images, or None.
        group_shares: (B,) float64, fraction of the training images with the image's label and background, or None.
        parts: (B, H, W) uint8, part of each pixel, or None.
    """

    ids: tuple[str, ...]
    images: Tensor
    labels: Tensor
    boxes: tuple[Tensor, ...] | None = None
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None
    file_boxes: tuple[FileBoxes, ...] | None = None
    cells: Tensor | None = None
    backgrounds: Tensor | None = None
    group_shares: Tensor | None = None
    interventions: tuple[Interventions, ...] | None = None
    parts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Stack samples of equal size; annotations that a sample lacks become None."""
        boxes = [sample.boxes for sample in samples if sample.boxes is not None]
        stated = [sample.file_boxes for sample in samples if sample.file_boxes is not None]
        versions = [sample.interventions for sample in samples if sample.interventions is not None]
        return cls(
            ids=tuple(sample.id for sample in samples),
            images=torch.stack([sample.image for sample in samples]),
            labels=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
            boxes=tuple(boxes) if len(boxes) == len(samples) else None,
            masks=_stack([None if sample.mask is None else object_pixels(sample.mask) for sample in samples]),
            present=_stack([sample.present for sample in samples]),
            class_masks=_stack([sample.class_masks for sample in samples]),
            file_boxes=tuple(stated) if len(stated) == len(samples) else None,
            cells=_stack([None if sample.cells is None else torch.tensor(sample.cells) for sample in samples]),
            interventions=tuple(versions) if len(versions) == len(samples) else None,
            backgrounds=_stack([None if sample.background is None else torch.tensor(sample.background) for sample in samples]),
            parts=_stack([sample.parts for sample in samples]),
            group_shares=_stack([None if own.group_share is None else torch.tensor(own.group_share).double() for own in samples]),
        )

    def part(self, start: int, stop: int) -> Batch:
        """The samples from `start` to before `stop`."""
        return Batch(
            self.ids[start:stop],
            self.images[start:stop],
            self.labels[start:stop],
            None if self.boxes is None else self.boxes[start:stop],
            *(None if given is None else given[start:stop] for given in (self.masks, self.present, self.class_masks)),
            file_boxes=None if self.file_boxes is None else self.file_boxes[start:stop],
            cells=None if self.cells is None else self.cells[start:stop],
            backgrounds=None if self.backgrounds is None else self.backgrounds[start:stop],
            group_shares=None if self.group_shares is None else self.group_shares[start:stop],
            interventions=None if self.interventions is None else self.interventions[start:stop],
            parts=None if self.parts is None else self.parts[start:stop],
        )

    def mirrored(self) -> Batch:
        """The batch flipped horizontally, with its boxes and masks."""
        width = self.images.shape[-1]
        boxes = None
        if self.boxes is not None:
            edges = (own.unbind(1) for own in self.boxes)
            boxes = tuple(torch.stack([width - x1, y0, width - x0, y1], 1) for x0, y0, x1, y1 in edges)
        masks, class_masks = (None if mask is None else mask.flip(-1) for mask in (self.masks, self.class_masks))
        stated = None if self.file_boxes is None else tuple(own.flipped(width) for own in self.file_boxes)
        cells = None
        if self.cells is not None:
            side = isqrt(self.cells.shape[1])
            cells = self.cells.unflatten(1, (side, side)).flip(2).flatten(1)
        known = (self.backgrounds, self.group_shares)
        return Batch(self.ids, self.images.flip(-1), self.labels, boxes, masks, self.present, class_masks, stated, cells, *known)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(
            self.ids,
            self.images.to(device),
            self.labels.to(device),
            None if self.boxes is None else tuple(boxes.to(device) for boxes in self.boxes),
            *(None if tensor is None else tensor.to(device) for tensor in (self.masks, self.present, self.class_masks)),
            file_boxes=self.file_boxes,
            cells=None if self.cells is None else self.cells.to(device),
            backgrounds=self.backgrounds,
            group_shares=self.group_shares,
            interventions=self.interventions,
            parts=None if self.parts is None else self.parts.to(device),
        )


def batches(samples: Iterable[Sample], size: int) -> Iterator[Batch]:
    """Batches of at most `size` samples of one image size; the order within an image size is kept."""
    by_shape = dict[tuple[int, ...], list[Sample]]()
    for sample in samples:
        by_shape.setdefault(tuple(sample.image.shape), []).append(sample)
    for group in by_shape.values():
        for start in range(0, len(group), size):
            yield Batch.of(group[start : start + size])


def _stack(given: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [tensor for tensor in given if tensor is not None]
    return torch.stack(tensors) if len(tensors) == len(given) else None


class Dataset(Protocol):
    """An ordered, finite collection of samples with ids and labels that need no image to be read."""

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the network's order."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """Class indices, in order."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            SampleError: the image cannot be read.
        """
        ...

    def fingerprint(self) -> str:
        """A short hash that changes when the data change."""
        ...


WrappedData = Dataset  # annotation of the argument of a wrapper: the data set in its brackets


def object_pixels(values: Tensor, above: int = 0) -> Tensor:
    """Pixels of the object, bool: any value but zero, or any above a threshold.

    >>> object_pixels(torch.tensor([-1.0, 0.0, 0.5])).tolist()
    [True, False, True]

    Raises:
        UsageError: complex values, or values that are not finite.
    """
    if values.dtype == torch.bool:
        return values
    if values.is_complex():
        raise UsageError(f"masks are {values.dtype}; expected zero for the background and any other real number for the object")
    if values.is_floating_point() and not bool(values.isfinite().all()):
        raise UsageError("masks have values that are not finite; expected zero for the background and any other number for the object")
    return values > above if above else values != 0
