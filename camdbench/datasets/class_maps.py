"""Class maps: annotations of images with several classes from the class of each pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
    """Number of pixels of each class in an image.

    Attributes:
        pixels: number of pixels by class index.
    """

    pixels: tuple[int, ...]

    @property
    def classes(self) -> list[int]:
        """The classes that have a pixel."""
        return [index for index, count in enumerate(self.pixels) if count]

    @property
    def largest(self) -> int:
        """The class with the most pixels, the first of equals; -1 without a class."""
        return int(np.argmax(self.pixels)) if any(self.pixels) else -1


def as_class_map(values: NDArray[Any], file: Path) -> Tensor:
    """Values (H, W) of a file as a class map, uint8.

    Raises:
        SampleError: another number of dimensions, or a value other than a whole number from 0 to 255.
    """
    if values.ndim != 2:
        raise SampleError(f"{file.name}: the class map has {values.ndim} dimensions, not 2")
    if values.dtype.kind not in "biuf":
        raise SampleError(f"{file.name}: the class map holds {values.dtype}, not numbers")
    with np.errstate(invalid="ignore"):
        found = values.astype(np.uint8)
    if (found != values).any():
        raise SampleError(f"{file.name}: the class map has a value other than a whole number from 0 to {_VOID}")
    return torch.from_numpy(found)


def shown_in(file: Path, read: ReadMap, count: int) -> VisibleClasses | None:
    """The classes of a class map; None for an unreadable map, whose sample raises the error."""
    try:
        pixels = torch.bincount(read(file).flatten().long(), minlength=_VOID + 1)
    except SampleError:
        return None
    return VisibleClasses(tuple(pixels[1 : count + 1].tolist()))


@dataclass(frozen=True)
class FromClassMaps:
    """Annotations from class maps: mask and its tight box, void, class masks and present classes.

    Attributes:
        read: reader of a map.
        files: map file of each image.
        items: images; the mask is that of their label.
        count: number of classes.
        several: whether all classes have masks and presence.
    """

    read: ReadMap
    files: tuple[Path, ...]
    items: tuple[ImageRecord, ...]
    count: int
    several: bool

    def __call__(self, index: int) -> Annotations:
        """Annotations of an image."""
        class_map = self.read(self.files[index])
        label = self.items[index].label
        mask = class_map == label + 1 if label >= 0 else torch.zeros_like(class_map, dtype=torch.bool)
        void = class_map == _VOID
        void = void if void.any() else None  # saves the resize of a mask
        if not self.several:
            return Annotations(boxes=box_of(mask), mask=mask, void=void)
        present = torch.zeros(self.count, dtype=torch.bool)
        values = class_map.unique().long()
        present[values[(values > 0) & (values <= self.count)] - 1] = True
        return Annotations(boxes=box_of(mask), mask=mask, class_map=class_map, present=present, void=void)


def largest_items(names: Sequence[str], pictures: Path, shown: Sequence[VisibleClasses | None]) -> tuple[ImageRecord, ...]:
    """Images labelled by the class with the most pixels; -1 if the map is unreadable."""
    return tuple(
        ImageRecord(name, pictures / f"{name}.jpg", -1 if seen is None else seen.largest) for name, seen in zip(names, shown, strict=True)
    )
