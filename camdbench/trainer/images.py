"""Images held in memory as bytes, rendered or read once, and changed at random on their way into the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from camdbench.core.catalogue import datasets
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.spec import Spec
from camdbench.datasets import subsets
from camdbench.datasets.opening import checked_dataset, open_dataset
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.functional.crops import draw_crop, warp
from camdbench.functional.seeds import generator_for
from camdbench.trainer.ranks import Share
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
        present: (N, C) bool, the classes that each image shows; None where it shows its label alone.
        class_masks: (N, C, H, W) bool, likewise.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        """Batches of images in [0, 1], in order, the last one maybe short."""
        for start in range(0, len(self), size):
            yield self._batch(torch.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, random: torch.Generator, places: Tensor | None = None) -> Iterator[Batch]:
        """Batches of images in [0, 1] in a random order; a remainder smaller than a batch is left out.

        Args:
            size: images in a batch.
            random: where the order comes from.
            places: those of a batch that are given out; all unless given.
        """
        order = torch.randperm(len(self), generator=random)
        for start in range(0, len(self) - size + 1, size):
            whole = order[start : start + size]
            yield self._batch(whole if places is None else whole[places])

    def partly_labelled(self, share: float, seed: int) -> Images:
        """The same images, of which about that share keeps its label; which, seed and id decide."""
        if share == 1:
            return self
        known = torch.tensor([float(torch.rand((), generator=generator_for(seed, name, "labelled"))) < share for name in self.ids])
        return replace(self, labels=torch.where(known, self.labels, -1))

    def _batch(self, chosen: Tensor) -> Batch:
        names = tuple(self.ids[index] for index in chosen.tolist())
        known = (None if held is None else held[chosen] for held in (self.masks, self.present, self.class_masks))
        return Batch(names, self.pixels[chosen].float() / 255, self.labels[chosen], None, *known)


def open_split(spec: Spec, split: str, count: int | None, data_root: str | Path | None = None) -> Dataset:
    """The data set of a spec at one of its splits; `count` images, drawn at random of one that lies on disk.

    Raises:
        UsageError: it has no such split, no option that sets the number of images, or does not lie there.
    """
    if datasets.get(spec.name).facts.on_disk:
        return subsets.chosen(open_dataset(*checked_dataset(str(spec), split, data_root), data_root), sample=count)
    given: dict[str, object] = {"split": split}
    if count is not None:
        given["count"] = count
    checked = datasets.get(spec.name).spec(Spec.of(spec.name, given))
    return datasets.load(spec.name)(**spec.arguments, **checked.arguments)


def load_images(dataset: Dataset, regions: Regions = "masks", *, per_class: bool = False) -> Images:
    """Read a whole data set into memory, as bytes, with its masks or its boxes as masks.

    Args:
        dataset: images of one size.
        regions: what becomes of `masks`.
        per_class: whether the masks of every class are kept too.

    Raises:
        CamdbenchError: the images differ in size.
    """
    first = dataset[0]
    pixels = torch.empty((len(dataset.ids), *first.image.shape), dtype=torch.uint8)
    masks, present = (_like(len(pixels), part) for part in (_region(first, regions), first.present))
    class_masks = _like(len(pixels), first.class_masks if per_class else None)
    for index, name in enumerate(dataset.ids):
        sample = dataset[index]
        if sample.image.shape != first.image.shape:
            shape = tuple(sample.image.shape)
            raise CamdbenchError(f"image {name} has shape {shape}, the first one {tuple(first.image.shape)}; resize them alike")
        pixels[index] = (sample.image * 255).round()
        for held, part in ((masks, _region(sample, regions)), (present, sample.present), (class_masks, sample.class_masks)):
            if held is not None and part is not None:  # an image without an annotation has an empty mask
                held[index] = part
    labels, classes = torch.tensor(dataset.labels), tuple(dataset.classes)
    return Images(pixels, labels, classes, dataset.fingerprint(), tuple(dataset.ids), masks, present, class_masks)


def _like(count: int, part: Tensor | None) -> Tensor | None:
    """Room for that many of a part."""
    return None if part is None else torch.zeros((count, *part.shape), dtype=torch.bool)


def _region(sample: Sample, regions: Regions) -> Tensor | None:
    """(H, W) bool."""
    if regions == "masks":
        return sample.mask
    if sample.boxes is None:
        return None
    rows, columns = (torch.arange(side) + 0.5 for side in sample.image.shape[1:])
    inside = [((rows > y0) & (rows < y1))[:, None] & ((columns > x0) & (columns < x1))[None] for x0, y0, x1, y1 in sample.boxes.tolist()]
    return torch.stack(inside).any(0) if inside else torch.zeros(sample.image.shape[1:], dtype=torch.bool)


def augmented(batch: Batch, how: Augment, random: torch.Generator, share: Share | None = None) -> Batch:
    """Randomly mirrored, cropped, lit and greyed images, with their masks; every image is drawn for on its own.

    Args:
        batch: images (B, 3, H, W) in [0, 1].
        how: probabilities and ranges.
        random: where the draws come from; as many for every batch, whatever `how` says of flips, light and colour.
        share: which images of a larger batch these are; draws are made for all of that, so that it does not matter who holds it.
    """
    count, places = (len(batch), slice(None)) if share is None else (share.whole, share.places)
    mirrored, light, grey = torch.rand((3, count, 1, 1, 1), generator=random)[:, places]
    chosen = mirrored < how.flip
    images = torch.where(chosen, batch.images.flip(-1), batch.images)
    masks, class_masks = (_flipped(held, chosen) for held in (batch.masks, batch.class_masks))
    if how.crop < 1:
        size = (images.shape[-2], images.shape[-1])
        drawn = [draw_crop(size, random, scale=(how.crop, 1.0))._replace(flipped=False) for _ in range(count)]
        crops = [drawn[place] for place in torch.arange(count)[places].tolist()]
        images = warp(images, crops)
        masks, class_masks = (None if held is None else warp(held.float(), crops) >= 0.5 for held in (masks, class_masks))
    images = torch.where(grey < how.grey, images.mean(1, keepdim=True), images)
    images = (images * (1 + how.brightness * (2 * light - 1))).clamp(0, 1)
    return replace(batch, images=images, masks=masks, class_masks=class_masks)


def _flipped(held: Tensor | None, chosen: Tensor) -> Tensor | None:
    return None if held is None else torch.where(chosen.reshape(-1, *(1,) * (held.ndim - 1)), held.flip(-1), held)


def check_batch(images: Images, size: int) -> None:
    """Make sure that an epoch has at least one batch.

    Raises:
        UsageError: there are fewer images than a batch holds.
    """
    if len(images) < size:
        raise UsageError(f"batch_size={size} exceeds the {len(images)} training images; lower it or raise data.count")
