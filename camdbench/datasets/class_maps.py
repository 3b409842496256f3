"""Images of several classes: a map of the class of each pixel, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.datasets.on_disk import ImageRecord
from camdbench.datasets.transforms import Annotations, box_of

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_VOID = 255

ReadMap = Callable[[Path], Tensor]  # (H, W) uint8: 0 background, class plus one, 255 void


@dataclass(frozen=True)
class VisibleClasses:
    """The pixels of each class in an image; index is the class.

    Attributes:
        pixels: how many pixels each class has.
    """

    pixels: tuple[int, ...]

    @property
    def classes(self) -> list[int]:
        """The classes that have a pixel."""
        return [index for index, count in enumerate(self.pixels) if count]

    @property
    def largest(self) -> int:
        """The class with the most pixels, the first of equals; -1 where there is none."""
        return int(np.argmax(self.pixels)) if any(self.pixels) else -1


def shown_in(file: Path, read: ReadMap, count: int) -> VisibleClasses | None:
    """What a class map shows; None of a map that cannot be read, whose sample says why."""
    try:
        pixels = torch.bincount(read(file).flatten().long(), minlength=_VOID + 1)
    except SampleError:
        return None
    return VisibleClasses(tuple(pixels[1 : count + 1].tolist()))


@dataclass(frozen=True)
class FromClassMaps:
    """Mask, void, masks of all classes and the classes that are present, from class maps; the box is the mask's.

    Attributes:
        read: how a map is read.
        files: the map of each image.
        items: the images; the mask is that of their label.
        count: number of classes.
        several: whether masks and presence of all classes are given too.
    """

    read: ReadMap
    files: tuple[Path, ...]
    items: tuple[ImageRecord, ...]
    count: int
    several: bool

    def __call__(self, index: int) -> Annotations:
        """What is known of an image."""
        class_map = self.read(self.files[index])
        label = self.items[index].label
        mask = class_map == label + 1 if label >= 0 else torch.zeros_like(class_map, dtype=torch.bool)
        void = class_map == _VOID
        void = void if void.any() else None  # which is a mask less to be resized
        if not self.several:
            return Annotations(boxes=box_of(mask), mask=mask, void=void)
        present = torch.zeros(self.count, dtype=torch.bool)
        values = class_map.unique().long()
        present[values[(values > 0) & (values <= self.count)] - 1] = True
        return Annotations(boxes=box_of(mask), mask=mask, class_map=class_map, present=present, void=void)


def largest_items(names: Sequence[str], pictures: Path, shown: Sequence[VisibleClasses | None]) -> tuple[ImageRecord, ...]:
    """Images whose label is the class with the most pixels, -1 where nothing is known."""
    return tuple(
        ImageRecord(name, pictures / f"{name}.jpg", -1 if seen is None else seen.largest) for name, seen in zip(names, shown, strict=True)
    )
