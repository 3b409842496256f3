"""OfModel: data of a user whose preprocessing is that of the model of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from camdbench.core.errors import UsageError
from camdbench.datasets.own.collections import ClassRule
from camdbench.datasets.samples import Dataset


@dataclass(frozen=True, repr=False)
class OfModel:
    """Data that are opened once the preprocessing of a model is known; no picture is read before.

    Attributes:
        open: returns the data set for a preprocessing protocol.
        ids: names of the images.
        annotations: `boxes` and `masks`, if the first image has them.
        name: name of the data set in rows.
        class_rule: how labels meet the classes of a network.
    """

    open: Callable[[str], Dataset]
    ids: Sequence[str]
    annotations: tuple[str, ...]
    name: str
    class_rule: ClassRule

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {len(self)} images, preprocessed as a model states)"

    def __getitem__(self, index: int) -> NoReturn:
        """Raises UsageError: the preprocessing is unknown without a model."""
        raise UsageError(f"preprocess = model: image {self.ids[index]!r} is preprocessed in a run; name the preprocessing to read it here")
