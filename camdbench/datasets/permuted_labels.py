"""Randomly permuted labels (data randomisation test, Adebayo et al. 2018)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from camdbench.datasets.samples import Dataset, Sample
from camdbench.datasets.subsets import shuffled


@dataclass(frozen=True)
class PermutedLabels:
    """A data set with other labels.

    Attributes:
        data: the data set.
        labels: (N,) class indices, in its order.
    """

    data: Dataset
    labels: Sequence[int]

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        return self.data.ids

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the network's order."""
        return self.data.classes

    def __getitem__(self, index: int) -> Sample:
        """Read one sample with its new label, without `present`, `class_masks` and `cells`.

        Raises:
            SampleError: the image cannot be read.
        """
        return replace(self.data[index], label=self.labels[index], present=None, class_masks=None, cells=None, group_share=None)

    def fingerprint(self) -> str:
        """Hash over the fingerprint of the data set and the labels."""
        return hashlib.sha256(f"{self.data.fingerprint()}\0{list(self.labels)}".encode()).hexdigest()[:16]


def permuted(data: Dataset, seed: int) -> PermutedLabels:
    """The data set with its labels permuted by the seed; class frequencies stay (arXiv:1810.03292, section 4)."""
    order = shuffled(data.ids, range(len(data.ids)), seed, "permuted label")
    labels = dict(zip(order, data.labels, strict=True))
    return PermutedLabels(data, [labels[position] for position in range(len(order))])
