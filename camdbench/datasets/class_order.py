"""How the classes of a data set meet those of a network: by name, by position, or by a list in the network's order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Dataset, Sample


def squash(name: str) -> str:
    """A class name without case, underscores and repeated blanks.

    >>> squash("Tabby_cat") == squash("tabby  cat")
    True
    """
    return " ".join(name.replace("_", " ").split()).casefold()


def order_by_names(data: Sequence[str], network: Sequence[str], *, required: bool = True) -> tuple[int, ...]:
    """Index in the network of each class of the data, -1 for one that the network lacks.

    >>> order_by_names(["dog", "Tabby_cat"], ["tabby cat", "dog", "fox"])
    (1, 0)

    Args:
        data: class names of the data.
        network: class names in the network's order.
        required: whether every class of the data must be a class of the network.

    Raises:
        UsageError: a required class is missing, or two classes have one name.
    """
    places = dict[str, list[int]]()
    for index, name in enumerate(network):
        places.setdefault(squash(name), []).append(index)
    found = [places.get(squash(name), []) for name in data]
    if several := next((name for name, own in zip(data, found, strict=True) if len(own) > 1), None):
        raise UsageError(f"class {several!r} of the data is the name of several classes of the network; use classes='positions'")
    missing = [name for name, own in zip(data, found, strict=True) if not own]
    if missing and required:
        raise UsageError(
            f"{len(missing)} class {'names' if len(missing) > 1 else 'name'} of the data {'are' if len(missing) > 1 else 'is'} not among "
            f"the network's {len(network)} (first: {missing[0]!r}): use classes='positions', or a CLASSES.txt with the data's names in "
            "the network's order"
        )
    order = tuple(own[0] if own else -1 for own in found)
    if len(set(order) - {-1}) < sum(place >= 0 for place in order):
        raise UsageError("two classes of the data have one name but for case, blanks and underscores; rename one")
    return order


@dataclass(frozen=True)
class InNetworkOrder:
    """A data set with the class indices of a network.

    Attributes:
        data: the data set.
        order: index in the network of each of its classes; -1: none.
        classes: class names in the network's order.
    """

    data: Dataset
    order: tuple[int, ...]
    classes: Sequence[str]

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        return self.data.ids

    @property
    def labels(self) -> Sequence[int]:
        """Class indices of the network, in order."""
        return self._labels

    @cached_property
    def _labels(self) -> list[int]:
        return [self._place(label) for label in self.data.labels]

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            SampleError: the image cannot be read.
        """
        own = self.data[index]
        present, masks = (None if given is None else self._rows(given) for given in (own.present, own.class_masks))
        background = None if own.background is None else self._place(own.background)
        cells = None if own.cells is None else tuple(map(self._place, own.cells))
        return replace(own, label=self._place(own.label), present=present, class_masks=masks, background=background, cells=cells)

    def fingerprint(self) -> str:
        """Hash over the fingerprint of the data set and the order."""
        return hashlib.sha256(f"{self.data.fingerprint()}\0{self.order}".encode()).hexdigest()[:16]

    def _place(self, label: int) -> int:
        return label if label < 0 else self.order[label]

    def _rows(self, values: Tensor) -> Tensor:
        """One row per class of the network, from one per class of the data."""
        found = torch.zeros(len(self.classes), *values.shape[1:], dtype=values.dtype)
        kept = [index for index, place in enumerate(self.order) if place >= 0]
        found[[self.order[index] for index in kept]] = values[kept]
        return found
