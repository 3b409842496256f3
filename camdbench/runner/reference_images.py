"""Random images of a data set, for metrics that compare with other images."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from weakref import WeakKeyDictionary

from camdbench.core.errors import NotApplicable
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.samples import Batch, Dataset, Sample, batches
from camdbench.datasets.subsets import shuffled
from camdbench.models.classifier import Classifier


class ReferenceImages:
    """Random images of the whole data set, the same for every scored image and every subset.

    Args:
        dataset: the whole data set.
        seed: seed of the draw.
        target: rule of the explained class of each image.

    Attributes:
        known: results by key of each classifier, kept for all images of a run while the classifier lives.
    """

    def __init__(self, dataset: Dataset, *, seed: int, target: str) -> None:
        self.dataset, self.seed, self.target = dataset, seed, target
        self._samples, self._readable = list[Sample](), self._read()
        self.known: WeakKeyDictionary[Classifier, dict[Hashable, object]] = WeakKeyDictionary()

    def samples(self, count: int) -> list[Sample]:
        """Return the first `count` readable images of the draw.

        Raises:
            NotApplicable: the data set has fewer.
        """
        self._samples += islice(self._readable, max(0, count - len(self._samples)))
        if len(self._samples) < count:
            raise NotApplicable(f"the metric compares with {count - 1} other images, and the data set has {len(self._samples)} in all")
        return self._samples[:count]

    def batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield them in batches of at most `size` images of one shape."""
        return batches(self.samples(count), size)

    def _read(self) -> Iterator[Sample]:
        for position in shuffled(self.dataset.ids, range(len(self.dataset.ids)), self.seed, "others"):
            if not isinstance(found := read(self.dataset, position), UnreadableImage):  # the rows of others state the reason
                yield found
