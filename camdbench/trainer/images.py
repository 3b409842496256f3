"""Images held in memory as bytes, rendered or read once, and changed at random on their way into the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from camdbench.core.catalogue import datasets
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.functional.crops import Crop, draw_crop, warp
from camdbench.functional.seeds import generator_for
from camdbench.trainer.recipe import Augment

Regions = Literal["masks", "boxes"]


@dataclass(frozen=True)
class Images:
    """A split in memory.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        labels: (N,) class indices, -1 where unknown.
        classes: names of the classes.
        fingerprint: of the data set they come from.
        ids: N stable names.
        masks: (N, H, W) bool, True on the object; None where the data set has none.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        """Batches of images in [0, 1], in order, the last one maybe short."""
        for start in range(0, len(self), size):
            yield self._batch(torch.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, random: torch.Generator) -> Iterator[Batch]:
        """Batches of images in [0, 1] in a random order; a remainder smaller than a batch is left out."""
        order = torch.randperm(len(self), generator=random)
        for start in range(0, len(self) - size + 1, size):
            yield self._batch(order[start : start + size])

    def partly_labelled(self, share: float, seed: int) -> Images:
        """The same images, of which about that share keeps its label; which, seed and id decide."""
        if share == 1:
            return self
        known = torch.tensor([float(torch.rand((), generator=generator_for(seed, name, "labelled"))) < share for name in self.ids])
        return replace(self, labels=torch.where(known, self.labels, -1))

    def _batch(self, chosen: Tensor) -> Batch:
        names = tuple(self.ids[index] for index in chosen.tolist())
        masks = None if self.masks is None else self.masks[chosen]
        return Batch(names, self.pixels[chosen].float() / 255, self.labels[chosen], masks=masks)


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


def load_images(dataset: Dataset, regions: Regions = "masks") -> Images:
    """Read a whole data set into memory, as bytes, with its masks or its boxes as masks.

    Raises:
        CamdbenchError: the images differ in size.
    """
    first = dataset[0]
    pixels = torch.empty((len(dataset.ids), *first.image.shape), dtype=torch.uint8)
    masks = None if _region(first, regions) is None else torch.zeros((len(pixels), *first.image.shape[1:]), dtype=torch.bool)
    for index, name in enumerate(dataset.ids):
        sample = dataset[index]
        if sample.image.shape != first.image.shape:
            shape = tuple(sample.image.shape)
            raise CamdbenchError(f"image {name} has shape {shape}, the first one {tuple(first.image.shape)}; resize them alike")
        pixels[index] = (sample.image * 255).round()
        region = _region(sample, regions)
        if masks is not None and region is not None:  # an image without an annotation has an empty mask
            masks[index] = region
    return Images(pixels, torch.tensor(dataset.labels), tuple(dataset.classes), dataset.fingerprint(), tuple(dataset.ids), masks)


def _region(sample: Sample, regions: Regions) -> Tensor | None:
    """(H, W) bool."""
    if regions == "masks":
        return sample.mask
    if sample.boxes is None:
        return None
    rows, columns = (torch.arange(side) + 0.5 for side in sample.image.shape[1:])
    inside = [((rows > y0) & (rows < y1))[:, None] & ((columns > x0) & (columns < x1))[None] for x0, y0, x1, y1 in sample.boxes.tolist()]
    return torch.stack(inside).any(0) if inside else torch.zeros(sample.image.shape[1:], dtype=torch.bool)


def augmented(batch: Batch, how: Augment, random: torch.Generator) -> Batch:
    """Randomly mirrored, cropped, lit and greyed images, with their masks; every image is drawn for on its own.

    Args:
        batch: images (B, 3, H, W) in [0, 1].
        how: probabilities and ranges.
        random: where the draws come from; as many for every batch, whatever `how` says of flips, light and colour.
    """
    mirrored, light, grey = torch.rand((3, len(batch), 1, 1, 1), generator=random)
    chosen = mirrored < how.flip
    images = torch.where(chosen, batch.images.flip(-1), batch.images)
    masks = None if batch.masks is None else torch.where(chosen[:, 0], batch.masks.flip(-1), batch.masks)
    if how.crop < 1:
        size = (images.shape[-2], images.shape[-1])
        crops = [draw_crop(size, random, scale=(how.crop, 1.0))._replace(flipped=False) for _ in range(len(batch))]
        images, masks = _cropped(images, masks, crops)
    images = torch.where(grey < how.grey, images.mean(1, keepdim=True), images)
    images = (images * (1 + how.brightness * (2 * light - 1))).clamp(0, 1)
    return replace(batch, images=images, masks=masks)


def _cropped(images: Tensor, masks: Tensor | None, crops: Sequence[Crop]) -> tuple[Tensor, Tensor | None]:
    moved = warp(images, list(crops))
    return moved, None if masks is None else warp(masks.float(), list(crops)) >= 0.5


def check_batch(images: Images, size: int) -> None:
    """Make sure that an epoch has at least one batch.

    Raises:
        UsageError: there are fewer images than a batch holds.
    """
    if len(images) < size:
        raise UsageError(f"batch_size={size} exceeds the {len(images)} training images; lower it or raise data.count")
