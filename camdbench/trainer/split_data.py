"""Split: images of one size, in memory or on their way from the disk, given out in batches that do not depend on which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.datasets.loading import Read, UnreadableImage, read
from camdbench.datasets.on_disk import filled
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.functional.seeding import generator_for

Regions = Literal["masks", "boxes"]


class SampleTensors(NamedTuple):
    """What is kept of one image, or of N, stacked.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        masks: (N, H, W) bool, True on the object; None where the data set has none.
        present: (N, C) bool, the classes that each image shows; None where it shows its label alone.
        class_masks: (N, C, H, W) bool, None if the data set has no class masks.
    """

    pixels: Tensor
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None


class Split(ABC):
    """Images of one size to train or evaluate on.

    Attributes:
        labels: (N,) class indices, -1 where unknown.
        classes: names of the classes.
        fingerprint: of the data set they come from.
        ids: N stable names.
    """

    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    @abstractmethod
    def has_masks(self) -> bool:
        """Whether images come with masks."""

    @abstractmethod
    def with_labels(self, labels: Tensor) -> Self:
        """The same images with other labels (N,)."""

    @abstractmethod
    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of the images there, in [0, 1] and in the group's order."""

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int, rank: int = 0, ranks: int = 1) -> Generator[Batch]:
        """Batches in order, the last one maybe short; of several processes each is given every so many-th of them."""
        return self.take(torch.arange(len(self)).split(size)[rank::ranks])

    def shuffled(self, size: int, random: torch.Generator, places: Tensor | None = None) -> Generator[Batch]:
        """Batches in a random order; a remainder smaller than a batch is left out.

        Args:
            size: images in a batch.
            random: where the order comes from.
            places: those of a batch that are given out; all unless given.
        """
        whole = [group for group in torch.randperm(len(self), generator=random).split(size) if len(group) == size]
        return self.take(whole if places is None else [group[places] for group in whole])

    def partly_labelled(self, share: float, seed: int) -> Self:
        """The same images, of which about that share keeps its label; which, seed and id decide."""
        if share == 1:
            return self
        known = torch.tensor([float(torch.rand((), generator=generator_for(seed, name, "labelled"))) < share for name in self.ids])
        return self.with_labels(torch.where(known, self.labels, -1))

    def batch(self, group: Tensor, parts: SampleTensors) -> Batch:
        """The batch of the images at some positions, whose parts are given."""
        names = tuple(self.ids[index] for index in group.tolist())
        return Batch(names, parts.pixels.float() / 255, self.labels[group], None, *parts[1:])


@dataclass(frozen=True)
class SplitShape:
    """What is kept of each image of a data set: what its first one has, in that one's size.

    Attributes:
        first: of the first image.
        regions: what becomes of masks.
        per_class: whether the masks of every class are kept too.
    """

    first: SampleTensors
    regions: Regions
    per_class: bool

    @classmethod
    def of(cls, dataset: Dataset, regions: Regions, *, per_class: bool) -> SplitShape:
        """The form of a data set.

        Raises:
            CamdbenchError: its first image cannot be read.
        """
        return cls(_parts(_readable(read(dataset, 0)), regions, per_class), regions, per_class)

    @property
    def bytes(self) -> int:
        """Of one image in memory."""
        return sum(held.numel() for held in self.first if held is not None)

    def stack(self, items: Iterable[Read], count: int) -> SampleTensors:
        """The parts of so many images; one without an annotation that the first one has gets an empty one.

        Raises:
            CamdbenchError: an image cannot be read, or has another size.
        """
        pixels, *others = self.first
        room = SampleTensors(_room(pixels, count), *(None if held is None else _room(held, count) for held in others))
        for index, item in enumerate(items):
            sample = _readable(item)
            parts, shape = _parts(sample, self.regions, self.per_class), tuple(self.first.pixels.shape)
            if parts.pixels.shape != shape:
                raise CamdbenchError(f"image {sample.id} has shape {tuple(parts.pixels.shape)}, the first one {shape}; resize them alike")
            for held, part in zip(room, parts):
                if held is not None and part is not None:
                    held[index] = part
        return room


def _room(one: Tensor, count: int) -> Tensor:
    return one.new_zeros((count, *one.shape))


def _readable(item: Read) -> Sample:
    """The image, or an error: a benchmark counts unreadable images, but weights must not depend on which files are damaged."""
    if isinstance(item, UnreadableImage):
        raise CamdbenchError(f"image {item.id} cannot be read: {item.reason}; repair or remove it (camdbench data verify lists all)")
    return item


def _parts(sample: Sample, regions: Regions, per_class: bool) -> SampleTensors:
    region = sample.mask if regions == "masks" else filled(sample.boxes, (sample.image.shape[1], sample.image.shape[2]))
    return SampleTensors((sample.image * 255).round().to(torch.uint8), region, sample.present, sample.class_masks if per_class else None)
