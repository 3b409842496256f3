"""Splits in memory, as bytes, and the data sets that they are read from."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets
from camdbench.core.spec import Spec
from camdbench.datasets import subsets
from camdbench.datasets.loading import prefetch
from camdbench.datasets.open_dataset import check_dataset, is_own_data, open_dataset
from camdbench.datasets.permuted_labels import permuted
from camdbench.datasets.samples import Batch, Dataset
from camdbench.trainer.own_splits import open_own_splits
from camdbench.trainer.recipe import Data
from camdbench.trainer.recipe_fields import Splits
from camdbench.trainer.split_data import Regions, SampleTensors, Split, SplitShape


@dataclass(frozen=True)
class InMemorySplit(Split):
    """A split in memory; the attributes are those of `Split` and `SampleTensors`."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    masks: Tensor | None = None
    present: Tensor | None = None
    class_masks: Tensor | None = None

    @property
    def tensors(self) -> SampleTensors:
        """Tensors of all images."""
        return SampleTensors(self.pixels, self.masks, self.present, self.class_masks)

    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of these images in [0, 1], in the order of the group."""
        for group in groups:
            known = (None if tensor is None else tensor[group] for tensor in self.tensors[1:])
            yield self.batch(group, SampleTensors(self.pixels[group], *known))


def open_split(spec: Spec, split: str, count: int | None, data_root: str | Path | None = None) -> Dataset:
    """A split of a data set: all images or `count` of them, a random sample if they are on disk, else the first."""
    if datasets.get(spec.name).facts.on_disk:
        return subsets.select_images(open_dataset(*check_dataset(str(spec), split, data_root), data_root), sample=count)
    given: dict[str, object] = {"split": split}
    if count is not None:
        given["count"] = count
    checked = datasets.get(spec.name).spec(Spec.of(spec.name, given))
    return datasets.call(spec.name, **spec.arguments, **checked.arguments)


def open_splits(data: Splits, evaluated: Iterable[str], data_root: str | Path | None) -> dict[str, Dataset]:
    """The training split and the evaluated splits of a recipe, by name; images are not read."""
    counts = {data.train: data.limit} | dict.fromkeys(evaluated, data.evaluation_limit)
    if is_own_data(data.dataset):
        if data_root is not None:
            raise UsageError(f"--data-root {data_root}: {data.dataset} states its own paths; remove --data-root")
        return open_own_splits(data.dataset, data.train, counts)
    spec = datasets.parse_one(data.dataset)
    return {split: open_split(spec, split, count, data_root) for split, count in counts.items()}


def load_images(
    dataset: Dataset, regions: Regions = "masks", *, per_class: bool = False, form: SplitShape | None = None, workers: int = 0
) -> InMemorySplit:
    """Read a data set into memory.

    Args:
        dataset: images of one size.
        regions: source of `masks`.
        per_class: whether the masks of every class are kept too.
        form: shape of the split; default: that of the first image.
        workers: number of reading processes.

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
    """Raise UsageError if there are fewer images than a batch holds."""
    if len(images) < size:
        raise UsageError(f"batch_size={size} exceeds the {len(images)} training images; lower it or raise data.limit")


def select_training_images(split: Dataset, data: Data, seed: int) -> Dataset:
    """The training images of a recipe; few-shot images depend on episode and ids alone, permuted labels on the seed.

    Raises:
        UsageError: a class has fewer images than `shots`.
    """
    if data.shots is not None:
        split = subsets.Subset(split, subsets.few_shot(split.ids, split.labels, shots=data.shots, episode=data.episode).train)
    return permuted(split, seed) if data.labels == "permuted" else split
