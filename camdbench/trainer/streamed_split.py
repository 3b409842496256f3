"""Images that stay on the disk and are read, batch by batch, by other processes while the network learns."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from camdbench.datasets.loading import prefetch
from camdbench.datasets.samples import Batch, Dataset
from camdbench.trainer.in_memory_split import load_images
from camdbench.trainer.split_data import Regions, Split, SplitShape

_ROOM = 2 * 2**30  # bytes of a split that are held in memory where a recipe does not say


@dataclass(frozen=True)
class StreamedSplit(Split):
    """A split whose images are read when a batch needs them; what comes out is what `InMemorySplit` gives out, to the last bit.

    Attributes:
        dataset: where they come from.
        form: what is kept of each.
        labels: (N,) class indices, -1 where unknown.
        classes: names of the classes.
        fingerprint: of the data set.
        ids: N stable names.
        workers: number of processes that read ahead.
    """

    dataset: Dataset
    form: SplitShape
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    workers: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        shape = self.form.first.pixels.shape
        return shape[-2], shape[-1]

    @property
    def has_masks(self) -> bool:
        """Whether images come with masks."""
        return self.form.first.masks is not None

    def with_labels(self, labels: Tensor) -> StreamedSplit:
        """The same images with other labels (N,)."""
        return replace(self, labels=labels)

    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of the images there, in [0, 1] and in the group's order.

        Raises:
            CamdbenchError: an image cannot be read, or has another size than the first.
        """
        with closing(prefetch(self.dataset, [place for group in groups for place in group.tolist()], workers=self.workers)) as stream:
            for group in groups:
                yield self.batch(group, self.form.stack(islice(stream, len(group)), len(group)))


def load_split(
    dataset: Dataset,
    *,
    memory: Literal["auto"] | bool = "auto",
    regions: Regions = "masks",
    per_class: bool = False,
    workers: int = 0,
) -> Split:
    """A data set in memory, or as a stream.

    Args:
        dataset: images of one size.
        memory: whether all of it is read now; `auto` is up to 2 GiB of pixels and masks.
        regions: what becomes of `masks`.
        per_class: whether the masks of every class are kept too.
        workers: number of processes that read, now or in every epoch.

    Raises:
        CamdbenchError: an image cannot be read, or images differ in size; those of a stream are looked at when it runs.
    """
    form = SplitShape.of(dataset, regions, per_class=per_class)
    if memory is True or (memory == "auto" and form.bytes * len(dataset.ids) <= _ROOM):
        return load_images(dataset, form=form, workers=workers)
    labels, names = torch.tensor(dataset.labels), tuple(dataset.ids)
    return StreamedSplit(dataset, form, labels, tuple(dataset.classes), dataset.fingerprint(), names, workers)
