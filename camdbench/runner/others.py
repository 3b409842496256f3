"""Others: the images of a data set that a metric compares every image with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import TypeVar, cast

from camdbench.core.errors import NotApplicable, SampleError
from camdbench.datasets.samples import Batch, Dataset, Sample, batches
from camdbench.datasets.subsets import shuffled

T = TypeVar("T")


class Others:
    """Images drawn by the seed from all of a data set: the same ones for every image, whatever part of it a run judges.

    Args:
        dataset: the whole data set.
        seed: decides the draw.
        target: rule of the class that is explained of each.
    """

    def __init__(self, dataset: Dataset, *, seed: int, target: str) -> None:
        self.dataset, self.seed, self.target = dataset, seed, target
        self._samples, self._readable = list[Sample](), self._read()
        self._known = dict[Hashable, object]()

    def samples(self, count: int) -> list[Sample]:
        """The first `count` of the draw that can be read.

        Raises:
            NotApplicable: there are fewer.
        """
        self._samples += islice(self._readable, max(0, count - len(self._samples)))
        if len(self._samples) < count:
            raise NotApplicable(f"the metric compares with {count - 1} other images, and the data set has {len(self._samples)} in all")
        return self._samples[:count]

    def batches(self, count: int, size: int) -> Iterator[Batch]:
        """The same in batches of at most `size` images, all of one shape."""
        return batches(self.samples(count), size)

    def known(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all images of a run."""
        if key not in self._known:
            self._known[key] = make()
        return cast("T", self._known[key])

    def _read(self) -> Iterator[Sample]:
        for position in shuffled(self.dataset.ids, range(len(self.dataset.ids)), self.seed, "others"):
            try:
                yield self.dataset[position]
            except SampleError:
                continue  # it has rows of its own that say so
