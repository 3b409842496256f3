"""Split: images of one size in batches that do not depend on whether they are in memory or on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self, cast

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.loading import Read, UnreadableImage, read
from camdbench.datasets.on_disk import filled
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.functional.confusion_matrix import VOID
from camdbench.functional.seeding import generator_for

Regions = Literal["masks", "boxes", "class maps"]
BACKGROUND = 0
"""Index of the background in a class map; a class has its own index plus one."""


class SampleTensors(NamedTuple):
    """Tensors of one image, or of N images, stacked; None if the data set has none.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        masks: (N, H, W) bool, True on the object; or uint8 class maps (see `class_map`).
        present: (N, C) bool, the classes that each image shows.
        class_masks: (N, C, H, W) bool.
    """

    pixels: Tensor
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None


class Split(ABC):
    """Images of one size to train or evaluate on.

    Attributes:
        labels: (N,) class indices, -1 if unknown.
        classes: names of the classes.
        fingerprint: hash of the data set.
        ids: N stable names.
    """

    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]

    @property
    @abstractmethod
    def tensors(self) -> SampleTensors:
        """Tensors of one image or of all images."""

    @abstractmethod
    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of these images in [0, 1], in the order of the group."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.tensors.pixels.shape[-2], self.tensors.pixels.shape[-1]

    @property
    def has_masks(self) -> bool:
        """Whether images come with masks."""
        return self.tensors.masks is not None

    def batches(self, size: int, rank: int = 0, ranks: int = 1) -> Generator[Batch]:
        """Batches in order, the last one possibly shorter; process `rank` of `ranks` gets every `ranks`-th batch."""
        return self.take(torch.arange(len(self)).split(size)[rank::ranks])

    def shuffled(self, size: int, random: torch.Generator, places: Tensor | None = None) -> Generator[Batch]:
        """Batches in random order, without a remainder smaller than `size`.

        Args:
            size: images in a batch.
            random: generator of the order.
            places: (n,) positions within each batch that are returned; default: all.
        """
        whole = [group for group in torch.randperm(len(self), generator=random).split(size) if len(group) == size]
        return self.take(whole if places is None else [group[places] for group in whole])

    def partly_labelled(self, share: float, seed: int) -> Self:
        """The same images; a random fraction `share`, drawn by seed and id, keeps its labels, the others have -1."""
        if share == 1:
            return self
        known = torch.tensor([float(torch.rand((), generator=generator_for(seed, name, "labelled"))) < share for name in self.ids])
        return replace(cast("Any", self), labels=torch.where(known, self.labels, -1))

    def batch(self, group: Tensor, parts: SampleTensors) -> Batch:
        """The batch of the images at positions `group`, made of their tensors."""
        names = tuple(self.ids[index] for index in group.tolist())
        return Batch(names, parts.pixels.float() / 255, self.labels[group], None, *parts[1:])


@dataclass(frozen=True)
class SplitShape:
    """Shapes of the tensors of each image, taken from the first image.

    Attributes:
        first: tensors of the first image.
        regions: source of `masks`: object masks, filled boxes or class maps.
        per_class: whether the masks of every class are kept too.
    """

    first: SampleTensors
    regions: Regions
    per_class: bool

    @classmethod
    def of(cls, dataset: Dataset, regions: Regions, *, per_class: bool) -> SplitShape:
        """The shape of a data set.

        Raises:
            UsageError: class maps of bytes cannot hold that many classes.
            CamdbenchError: the first image cannot be read.
        """
        if regions == "class maps" and (count := len(dataset.classes)) >= VOID:
            raise UsageError(f"{count} classes: a class map holds at most {VOID - 1}; use a data set, or a level, with fewer")
        return cls(_tensors(_readable(read(dataset, 0)), regions, per_class), regions, per_class)

    @property
    def bytes(self) -> int:
        """Bytes of one image in memory."""
        return sum(tensor.numel() for tensor in self.first if tensor is not None)

    def stack(self, items: Iterable[Read], count: int) -> SampleTensors:
        """The stacked tensors of `count` images; annotations that an image lacks are zeros.

        Raises:
            CamdbenchError: an image cannot be read, or has another size.
        """
        stacked = SampleTensors(*(None if one is None else one.new_zeros((count, *one.shape)) for one in self.first))  # pyright: ignore[reportArgumentType] - pixels are never None
        for index, item in enumerate(items):
            sample = _readable(item)
            tensors, shape = _tensors(sample, self.regions, self.per_class), tuple(self.first.pixels.shape)
            if tensors.pixels.shape != shape:
                raise CamdbenchError(f"image {sample.id} has shape {tuple(tensors.pixels.shape)}, the first one {shape}; resize them alike")
            for target, tensor in zip(stacked, tensors):
                if target is not None and tensor is not None:
                    target[index] = tensor
        return stacked


def class_map(sample: Sample) -> Tensor:
    """The class of each pixel, (H, W) uint8: 0 background, class plus one, 255 void; the first class where several overlap.

    A sample with one mask has its label inside the mask, or void if the label is unknown.

    Raises:
        CamdbenchError: the sample has no mask.
    """
    if sample.class_masks is not None:
        names = torch.arange(1, len(sample.class_masks) + 1, dtype=torch.uint8)
        lowest = torch.where(sample.class_masks, names[:, None, None], VOID).amin(0)
        found = torch.where(lowest == VOID, BACKGROUND, lowest)
    elif sample.mask is not None:
        found = torch.where(sample.mask, VOID if sample.label < 0 else sample.label + 1, BACKGROUND)
    else:
        raise CamdbenchError(f"image {sample.id} has no mask; the probe needs one for each image")
    if sample.void is not None:
        found = torch.where(sample.void, VOID, found)
    return found.to(torch.uint8)


def _readable(item: Read) -> Sample:
    """The image, or an error: a benchmark counts unreadable images, but weights must not depend on which files are damaged."""
    if isinstance(item, UnreadableImage):
        raise CamdbenchError(f"image {item.id} cannot be read: {item.reason}; repair or remove it (camdbench data verify lists all)")
    return item


def _tensors(sample: Sample, regions: Regions, per_class: bool) -> SampleTensors:
    if regions == "class maps":
        region = class_map(sample)
    else:
        region = sample.mask if regions == "masks" else filled(sample.boxes, (sample.image.shape[1], sample.image.shape[2]))
    return SampleTensors((sample.image * 255).round().to(torch.uint8), region, sample.present, sample.class_masks if per_class else None)
