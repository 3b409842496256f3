"""Sample and Batch: images in [0, 1] with everything that is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One image and its annotations; what a data set lacks is None.

    Attributes:
        id: stable name of the image within its data set and split.
        image: (3, H, W) float32 in [0, 1], never mean/std-normalised.
        label: class index in the network's order.
        boxes: (N, 4) float32 xyxy in pixels, the end exclusive: x1 - x0 is the width.
        mask: (H, W) bool, True on the object.
        background: index of the background's class, where the data set controls it.
    """

    id: str
    image: Tensor
    label: int
    boxes: Tensor | None = None
    mask: Tensor | None = None
    background: int | None = None


@dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked.

    Attributes:
        ids: B stable names.
        images: (B, 3, H, W) float32 in [0, 1].
        labels: (B,) int64; -1 where an image has no label.
        boxes: B tensors (N, 4) xyxy pixels, or None.
        masks: (B, H, W) bool, or None.
    """

    ids: tuple[str, ...]
    images: Tensor
    labels: Tensor
    boxes: tuple[Tensor, ...] | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Stack samples of equal size; annotations that any sample lacks are left out."""
        boxes = [sample.boxes for sample in samples if sample.boxes is not None]
        masks = [sample.mask for sample in samples if sample.mask is not None]
        return cls(
            ids=tuple(sample.id for sample in samples),
            images=torch.stack([sample.image for sample in samples]),
            labels=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
            boxes=tuple(boxes) if len(boxes) == len(samples) else None,
            masks=torch.stack(masks) if len(masks) == len(samples) else None,
        )

    def part(self, start: int, stop: int) -> Batch:
        """The samples from `start` to before `stop`."""
        return Batch(
            self.ids[start:stop],
            self.images[start:stop],
            self.labels[start:stop],
            None if self.boxes is None else self.boxes[start:stop],
            None if self.masks is None else self.masks[start:stop],
        )

    def mirrored(self) -> Batch:
        """The same images left to right, with their boxes and masks."""
        width = self.images.shape[-1]
        boxes = None
        if self.boxes is not None:
            edges = (own.unbind(1) for own in self.boxes)
            boxes = tuple(torch.stack([width - x1, y0, width - x0, y1], 1) for x0, y0, x1, y1 in edges)
        return Batch(self.ids, self.images.flip(-1), self.labels, boxes, None if self.masks is None else self.masks.flip(-1))

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.ids,
            self.images.to(device),
            self.labels.to(device),
            None if self.boxes is None else tuple(boxes.to(device) for boxes in self.boxes),
            None if self.masks is None else self.masks.to(device),
        )


class Dataset(Protocol):
    """An ordered, finite collection of samples whose ids are known without reading an image."""

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
