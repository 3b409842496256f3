"""Images held in memory as bytes, rendered or read once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets
from camdbench.core.spec import Spec
from camdbench.datasets import subsets
from camdbench.datasets.loading import prefetch
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.datasets.samples import Batch, Dataset
from camdbench.trainer.recipe_fields import Splits
from camdbench.trainer.split_data import Regions, SampleTensors, Split, SplitShape


@dataclass(frozen=True)
class InMemorySplit(Split):
    """A split in memory.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        labels: (N,) class indices, -1 where unknown.
        classes: names of the classes.
        fingerprint: of the data set they come from.
        ids: N stable names.
        masks: (N, H, W) bool, True on the object; None where the data set has none.
        present: (N, C) bool, the classes that each image shows; None where it shows its label alone.
        class_masks: (N, C, H, W) bool, None if the data set has no class masks.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def has_masks(self) -> bool:
        """Whether images come with masks."""
        return self.masks is not None

    def with_labels(self, labels: Tensor) -> InMemorySplit:
        """The same images with other labels (N,)."""
        return replace(self, labels=labels)

    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of the images there, in [0, 1] and in the group's order."""
        for group in groups:
            known = (None if held is None else held[group] for held in (self.masks, self.present, self.class_masks))
            yield self.batch(group, SampleTensors(self.pixels[group], *known))


def open_split(spec: Spec, split: str, count: int | None, data_root: str | Path | None = None) -> Dataset:
    """The data set of a spec at one of its splits; `count` images, drawn at random of one that lies on disk.

    Raises:
        UsageError: it has no such split, no option that sets the number of images, or does not lie there.
    """
    if datasets.get(spec.name).facts.on_disk:
        return subsets.select_images(open_dataset(*check_dataset(str(spec), split, data_root), data_root), sample=count)
    given: dict[str, object] = {"split": split}
    if count is not None:
        given["count"] = count
    checked = datasets.get(spec.name).spec(Spec.of(spec.name, given))
    return datasets.load(spec.name)(**spec.arguments, **checked.arguments)


def open_splits(data: Splits, evaluated: Iterable[str], data_root: str | Path | None) -> dict[str, Dataset]:
    """The training split and the evaluated ones of a recipe, by name; images are not read.

    Raises:
        UsageError: as `open_split`.
    """
    spec, counts = datasets.parse_one(data.dataset), {data.train: data.limit} | dict.fromkeys(evaluated, data.evaluation_limit)
    return {split: open_split(spec, split, count, data_root) for split, count in counts.items()}


def load_images(
    dataset: Dataset, regions: Regions = "masks", *, per_class: bool = False, form: SplitShape | None = None, workers: int = 0
) -> InMemorySplit:
    """Read a whole data set into memory, as bytes, with its masks or its boxes as masks.

    Args:
        dataset: images of one size.
        regions: what becomes of `masks`.
        per_class: whether the masks of every class are kept too.
        form: all of that, looked up unless given.
        workers: number of processes that read.

    Raises:
        CamdbenchError: an image cannot be read, or images differ in size.
    """
    form = form or SplitShape.of(dataset, regions, per_class=per_class)
    count = len(dataset.ids)
    with closing(prefetch(dataset, range(count), workers=workers)) as stream:
        parts = form.stack(stream, count)
    return InMemorySplit(
        parts.pixels, torch.tensor(dataset.labels), tuple(dataset.classes), dataset.fingerprint(), tuple(dataset.ids), *parts[1:]
    )


def check_batch(images: Sized, size: int) -> None:
    """Make sure that an epoch has at least one batch.

    Raises:
        UsageError: there are fewer images than a batch holds.
    """
    if len(images) < size:
        raise UsageError(f"batch_size={size} exceeds the {len(images)} training images; lower it or raise data.limit")
