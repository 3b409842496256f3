"""Images held in memory as bytes, rendered or read once, and changed at random on their way into the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from camdbench.core.catalogue import datasets
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Dataset
from camdbench.trainer.recipe import Augment


@dataclass(frozen=True)
class Images:
    """A split in memory.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        labels: (N,) class indices.
        classes: names of the classes.
        fingerprint: of the data set they come from.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images in [0, 1] and labels, in order, the last batch maybe short."""
        for start in range(0, len(self), size):
            yield self.pixels[start : start + size].float() / 255, self.labels[start : start + size]

    def shuffled(self, size: int, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Images in [0, 1] and labels in a random order; a remainder smaller than a batch is left out."""
        order = torch.randperm(len(self), generator=random)
        for start in range(0, len(self) - size + 1, size):
            chosen = order[start : start + size]
            yield self.pixels[chosen].float() / 255, self.labels[chosen]


def open_split(spec: Spec, split: str, count: int | None) -> Dataset:
    """The data set of a spec at one of its splits.

    Raises:
        UsageError: it has no such split, or no option that sets the number of images.
    """
    given: dict[str, object] = {"split": split}
    if count is not None:
        given["count"] = count
    checked = datasets.get(spec.name).spec(Spec.of(spec.name, given))
    return datasets.load(spec.name)(**spec.arguments, **checked.arguments)


def load_images(dataset: Dataset) -> Images:
    """Read a whole data set into memory, as bytes.

    Raises:
        CamdbenchError: the images differ in size.
    """
    first = dataset[0].image
    pixels = torch.empty((len(dataset.ids), *first.shape), dtype=torch.uint8)
    for index, name in enumerate(dataset.ids):
        image = dataset[index].image
        if image.shape != first.shape:
            raise CamdbenchError(f"image {name} has shape {tuple(image.shape)}, the first one {tuple(first.shape)}; resize them alike")
        pixels[index] = (image * 255).round()
    return Images(pixels, torch.tensor(dataset.labels), tuple(dataset.classes), dataset.fingerprint())


def augmented(images: Tensor, how: Augment, random: torch.Generator) -> Tensor:
    """Randomly mirrored, lit and greyed images; every image is drawn for on its own.

    Args:
        images: (B, 3, H, W) in [0, 1].
        how: probabilities and ranges.
        random: where the draws come from; as many for every batch, whatever `how` says.
    """
    mirrored, light, grey = torch.rand((3, len(images), 1, 1, 1), generator=random)
    images = torch.where(mirrored < how.flip, images.flip(-1), images)
    images = torch.where(grey < how.grey, images.mean(1, keepdim=True), images)
    return (images * (1 + how.brightness * (2 * light - 1))).clamp(0, 1)


def check_batch(images: Images, size: int) -> None:
    """Make sure that an epoch has at least one batch.

    Raises:
        UsageError: there are fewer images than a batch holds.
    """
    if len(images) < size:
        raise UsageError(f"batch_size={size} exceeds the {len(images)} training images; lower it or raise data.count")
