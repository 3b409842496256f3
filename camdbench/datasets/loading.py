"""Prefetching of samples in worker processes, in order."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from camdbench.core.errors import CamdbenchError, SampleError, UsageError
from camdbench.core.foreign_code import calling, describe
from camdbench.core.orphans import end_with_parent
from camdbench.datasets.samples import Dataset, Sample

AHEAD = 64  # largest number of samples that wait, besides one per process
_FEW = 256  # fewer images are read without worker processes
_MOST = 8  # largest default number of processes; each decodes over a hundred photographs per second


class UnreadableImage(NamedTuple):
    """An unreadable image.

    Attributes:
        id: name of the image.
        label: class index.
        reason: error message.
    """

    id: str
    label: int
    reason: str


Read = Sample | UnreadableImage


def read(dataset: Dataset, index: int) -> Read:
    """A sample, or an `UnreadableImage` in place of a SampleError.

    Raises:
        CamdbenchError: the data set has a mistake; the message names the image.
    """
    try:
        with calling(f"data set, image {dataset.ids[index]}"):
            return dataset[index]
    except SampleError as error:
        return UnreadableImage(dataset.ids[index], dataset.labels[index], str(error))


def readable(dataset: Dataset) -> Iterator[Sample]:
    """Yield the readable images in order."""
    for index in range(len(dataset.ids)):
        if not isinstance(found := read(dataset, index), UnreadableImage):
            yield found


def first_readable(dataset: Dataset) -> Sample:
    """Return the first readable image.

    Raises:
        CamdbenchError: no image can be read.
    """
    if (found := next(readable(dataset), None)) is None:
        last = cast("UnreadableImage", read(dataset, len(dataset.ids) - 1)).reason if dataset.ids else ""
        raise CamdbenchError(f"none of the {len(dataset.ids)} images can be read; the last: {last}")
    return found


def prefetch(dataset: Dataset, positions: Sequence[int], *, workers: int = 0, ahead: int = AHEAD) -> Generator[Read]:
    """The samples at some positions, in their order, read ahead by worker processes.

    The samples do not depend on `workers` or `ahead`. About `ahead` samples wait at most. The processes end with the last
    sample or when the generator is closed.

    Args:
        dataset: data set; must be picklable if processes are not forked.
        positions: positions of the samples.
        workers: number of processes; 0: read in this process on demand.
        ahead: largest number of waiting samples.

    Raises:
        UsageError: `workers` is negative or `ahead` is not positive.
    """
    if workers < 0:
        raise UsageError(f"--workers {workers}: expected 0 or more processes")
    if ahead < 1:
        raise UsageError(f"ahead={ahead}: expected at least 1 sample")
    return _here(dataset, positions) if not workers or len(positions) < 2 else _elsewhere(dataset, positions, workers, ahead)


def default_workers(images: int, *, on_disk: bool) -> int:
    """Default number of reading processes: 0 for few or rendered images, else one less than the cores, at most 8.

    It is also 0 where a new process would run the user's script again, or may not be started.
    """
    return min(_MOST, (os.cpu_count() or 1) - 1) if on_disk and images >= _FEW and _may_start_processes() else 0


def _may_start_processes() -> bool:
    """Whether new processes cannot break the program: they are forked, or the program is a command and no script.

    A process that is not forked imports the main script, which runs again where it has no main guard.
    """
    if multiprocessing.current_process().daemon:
        return False
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    is_command = file is None or (spec is not None and spec.name.endswith("__main__")) or Path(file).stem == "camdbench"
    return multiprocessing.get_start_method() == "fork" or is_command


def _here(dataset: Dataset, positions: Sequence[int]) -> Generator[Read]:
    for index in positions:
        yield read(dataset, index)


def _elsewhere(dataset: Dataset, positions: Sequence[int], workers: int, ahead: int) -> Generator[Read]:
    workers = min(workers, len(positions))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)  # the number is intended
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)  # in processes with threads
        loader = DataLoader(
            _Samples(dataset, positions),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(1, ahead // workers),
            collate_fn=_identity,
            worker_init_fn=end_with_parent,
            generator=torch.Generator(),  # the loader draws unused worker seeds; the global generator must not advance
        )
        samples: Iterator[Read | CamdbenchError] = iter(loader)
    try:
        for sample in samples:  # `yield from` would keep the iterator, and with it the processes
            if isinstance(sample, CamdbenchError):
                raise sample
            yield sample
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise CamdbenchError(f"--workers = {workers}: a process that loads images has ended ({describe(error)}); use --workers 0") from None
    finally:
        del samples


def _identity(sample: Any) -> Any:
    return sample


@dataclass(frozen=True)
class _Samples(TorchDataset[Read | CamdbenchError]):
    """The samples at some positions, as a torch data set."""

    dataset: Dataset
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Read | CamdbenchError:
        try:
            return read(self.dataset, self.positions[index])
        except CamdbenchError as error:  # torch would raise it with the worker's traceback as its message
            return error
