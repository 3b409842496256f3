"""Reading samples ahead of the network, in other processes, in order."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.samples import Dataset, Sample

AHEAD = 64  # samples that are read and wait, at most, beside the one in each process's hands
_FEW = 256  # images that are not worth starting a process for
_MOST = 8  # processes that one network can need: each decodes a hundred photographs a second and more


class UnreadableImage(NamedTuple):
    """An image that cannot be used.

    Attributes:
        id: its name.
        label: its class.
        reason: why.
    """

    id: str
    label: int
    reason: str


Read = Sample | UnreadableImage


def read(dataset: Dataset, index: int) -> Read:
    """A sample, or why there is none; any error but SampleError is a mistake of the program and goes on up."""
    try:
        return dataset[index]
    except SampleError as error:
        return UnreadableImage(dataset.ids[index], dataset.labels[index], str(error))


def prefetch(dataset: Dataset, positions: Sequence[int], *, workers: int = 0, ahead: int = AHEAD) -> Generator[Read]:
    """The samples at some positions, in their order, read by worker processes while the caller works on earlier ones.

    What comes out does not depend on `workers` or `ahead`. At most about `ahead` samples wait, so memory does not grow with
    the data set. The processes end with the last sample, and when the generator is closed.

    Args:
        dataset: where samples come from; it travels to the processes, so it is pickled where processes are not forked.
        positions: which samples.
        workers: number of processes; 0 reads in this one, when a sample is asked for.
        ahead: how many samples may wait.

    Raises:
        UsageError: `workers` is negative or `ahead` is not positive.
    """
    if workers < 0:
        raise UsageError(f"--workers {workers}: expected 0 or more processes")
    if ahead < 1:
        raise UsageError(f"ahead={ahead}: expected at least 1 sample")
    return _here(dataset, positions) if not workers or len(positions) < 2 else _elsewhere(dataset, positions, workers, ahead)


def default_workers(images: int, *, on_disk: bool) -> int:
    """How many processes read where nobody says it: none for few images or for drawn ones, else one less than the cores."""
    return min(_MOST, (os.cpu_count() or 1) - 1) if on_disk and images >= _FEW else 0


def _here(dataset: Dataset, positions: Sequence[int]) -> Generator[Read]:
    for index in positions:
        yield read(dataset, index)


def _elsewhere(dataset: Dataset, positions: Sequence[int], workers: int, ahead: int) -> Generator[Read]:
    workers = min(workers, len(positions))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)  # the number was asked for
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # of a process that has threads
        loader = DataLoader(
            _Samples(dataset, positions),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(1, ahead // workers),
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # it draws its processes' seeds, which nobody uses, from the global one otherwise
        )
        samples: Iterator[Read] = iter(loader)
    try:
        for sample in samples:  # noqa: UP028 - `yield from` would keep the iterator, and with it the processes
            yield sample
    finally:
        del samples


def _as_it_is(sample: Any) -> Any:
    return sample


@dataclass(frozen=True)
class _Samples(TorchDataset[Read]):
    """The samples at some positions, as torch's loader asks for them."""

    dataset: Dataset
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Read:
        return read(self.dataset, self.positions[index])
