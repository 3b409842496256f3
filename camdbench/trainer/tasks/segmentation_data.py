"""Images in memory with the class of every pixel."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.samples import Dataset, Sample
from camdbench.functional.confusion_matrix import VOID

BACKGROUND = 0
"""The background's index in a class map; a class stands there under its own index plus one."""


class SegmentationBatch(NamedTuple):
    """Scenes on their way into the network.

    Attributes:
        ids: B stable names.
        images: (B, 3, H, W) in [0, 1].
        maps: (B, H, W) int64, 0 background, class plus one, 255 void.
    """

    ids: tuple[str, ...]
    images: Tensor
    maps: Tensor

    @property
    def labels(self) -> Tensor:
        """(B, H, W) the maps with -1 for void pixels."""
        return self.maps.where(self.maps != VOID, -1)

    def part(self, start: int, stop: int) -> SegmentationBatch:
        """The images from `start` to before `stop`."""
        return SegmentationBatch(self.ids[start:stop], self.images[start:stop], self.maps[start:stop])

    def to(self, device: torch.device) -> SegmentationBatch:
        """The same on another device."""
        return SegmentationBatch(self.ids, self.images.to(device), self.maps.to(device))


@dataclass(frozen=True)
class SegmentationData:
    """A split in memory.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        maps: (N, H, W) uint8, 0 background, class plus one, 255 void.
        ids: N stable names.
        classes: names of the C classes, without the background.
        fingerprint: of the data set they come from.
    """

    pixels: Tensor
    maps: Tensor
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what a pixel can be: the background, then the classes."""
        return ("background", *self.classes)

    def views(self, size: int) -> Iterator[SegmentationBatch]:
        """All of them, in order, the last view maybe short."""
        for start in range(0, len(self), size):
            yield self._view(torch.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, random: torch.Generator, flip: float) -> Generator[SegmentationBatch]:
        """In a random order, each left to right with probability `flip`; a remainder smaller than `size` is left out."""
        order, drawn = torch.randperm(len(self), generator=random), torch.rand(len(self), generator=random)
        for start in range(0, len(self) - size + 1, size):
            chosen = order[start : start + size]
            names, images, maps = self._view(chosen)
            mirrored = drawn[chosen] < flip
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
            yield SegmentationBatch(names, images, torch.where(mirrored[:, None, None], maps.flip(-1), maps))

    def _view(self, chosen: Tensor) -> SegmentationBatch:
        return SegmentationBatch(
            tuple(self.ids[index] for index in chosen.tolist()), self.pixels[chosen].float() / 255, self.maps[chosen].long()
        )


def load_segmentation_data(dataset: Dataset) -> SegmentationData:
    """Read a whole data set into memory, as bytes.

    Raises:
        UsageError: there are more classes than a class map of bytes can hold.
        CamdbenchError: the images differ in size, or one has no mask or cannot be read.
    """
    classes = tuple(dataset.classes)
    if len(classes) >= VOID:
        raise UsageError(f"{len(classes)} classes: a class map holds at most {VOID - 1}; take a data set, or a level, of fewer")
    first = dataset[0].image.shape
    pixels = torch.empty((len(dataset.ids), *first), dtype=torch.uint8)
    maps = torch.empty((len(dataset.ids), *first[1:]), dtype=torch.uint8)
    for index, name in enumerate(dataset.ids):
        sample = dataset[index]
        if sample.image.shape != first:
            raise CamdbenchError(f"image {name} has shape {tuple(sample.image.shape)}, the first one {tuple(first)}; resize them alike")
        pixels[index] = (sample.image * 255).round()
        maps[index] = class_map(sample)
    return SegmentationData(pixels, maps, tuple(dataset.ids), classes, dataset.fingerprint())


def class_map(sample: Sample) -> Tensor:
    """What each pixel of a sample shows, (H, W) uint8: 0 background, class plus one, 255 void; of several classes the first.

    A sample with one mask shows its label inside it; where the label is unknown, the inside is void.

    Raises:
        CamdbenchError: it has no mask.
    """
    if sample.class_masks is not None:
        names = torch.arange(1, len(sample.class_masks) + 1, dtype=torch.uint8)
        held = torch.where(sample.class_masks, names[:, None, None], VOID).amin(0)
        found = torch.where(held == VOID, BACKGROUND, held)
    elif sample.mask is not None:
        found = torch.where(sample.mask, VOID if sample.label < 0 else sample.label + 1, BACKGROUND)
    else:
        raise CamdbenchError(f"image {sample.id} has no mask; the probe needs one for each")
    if sample.void is not None:
        found = torch.where(sample.void, VOID, found)
    return found.to(torch.uint8)
