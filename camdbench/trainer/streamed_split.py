"""Splits on disk, read batch by batch in worker processes during training."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from camdbench.datasets.loading import prefetch
from camdbench.datasets.samples import Batch, Dataset
from camdbench.trainer.in_memory_split import load_images
from camdbench.trainer.split_data import Regions, SampleTensors, Split, SplitShape

_ROOM = 2 * 2**30  # largest split, in bytes, that `in_memory: auto` reads into memory


@dataclass(frozen=True)
class StreamedSplit(Split):
    """A split whose images are read when a batch needs them; batches equal those of `InMemorySplit` bit for bit.

    Attributes:
        dataset: the data set.
        form: shapes of the tensors of each image.
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
    def tensors(self) -> SampleTensors:
        """Tensors of the first image."""
        return self.form.first

    def take(self, groups: Sequence[Tensor]) -> Generator[Batch]:
        """For each group (n,) of positions, a batch of these images in [0, 1], in the order of the group."""
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
    """A data set in memory or as a stream.

    Args:
        dataset: images of one size.
        memory: whether all images are read now; `auto`: up to 2 GiB of pixels and masks.
        regions: source of `masks`.
        per_class: whether the masks of every class are kept too.
        workers: number of reading processes.

    Raises:
        CamdbenchError: an image cannot be read, or images differ in size; raised during training for a stream.
    """
    form = SplitShape.of(dataset, regions, per_class=per_class)
    if memory is True or (memory == "auto" and form.bytes * len(dataset.ids) <= _ROOM):
        return load_images(dataset, form=form, workers=workers)
    labels, names = torch.tensor(dataset.labels), tuple(dataset.ids)
    return StreamedSplit(dataset, form, labels, tuple(dataset.classes), dataset.fingerprint(), names, workers)
