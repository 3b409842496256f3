"""Whether a data set is there in full, and whether its pictures can be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from camdbench.core.errors import SampleError
from camdbench.core.spec import Spec
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.open_dataset import available_annotations, open_dataset
from camdbench.datasets.samples import Dataset


class UnreadableImage(NamedTuple):
    """An image that cannot be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        dataset: the spec.
        split: the split.
        images: how many images are listed.
        expected: how many the publications count, where they do.
        classes: how many classes the network has.
        shown: how many of them have images.
        unlabelled: images without a label.
        annotations: `boxes`, `masks`.
        missing: images whose file is not there.
        checked: how many were decoded, with their annotations.
        unreadable: those of them that cannot be used.
        boxless: those of them without a box, where the data set has boxes.
        boxes_lost: boxes that the preprocessing left nothing of, among the decoded.
        empty_masks: masks without a pixel, likewise.
        fingerprint: the hash that a run records.
    """

    dataset: str
    split: str
    images: int
    expected: int | None
    classes: int
    shown: int
    unlabelled: int
    annotations: tuple[str, ...]
    missing: tuple[str, ...]
    checked: int
    unreadable: tuple[UnreadableImage, ...]
    boxless: int
    boxes_lost: int
    empty_masks: int
    fingerprint: str

    @property
    def complete(self) -> bool:
        """Whether as many images are listed as the publications count; true where they do not say."""
        return self.expected in (None, self.images)

    @property
    def sound(self) -> bool:
        """Whether every file is there and everything that was decoded can be used."""
        return not self.missing and not self.unreadable


def verify(spec: Spec, split: str, data_root: Path | None, *, check: int | None = 100) -> Verification:
    """Open a checked data set, count it, and decode some of its images.

    Args:
        spec: checked spec of the data set.
        split: its split.
        data_root: where it lies.
        check: how many images to decode, spread evenly over the list; None for all.

    Raises:
        UsageError: the layout is another one.
    """
    data = open_dataset(spec, split, data_root)
    chosen = _spread(len(data.ids), len(data.ids) if check is None else check)
    decoded = _Decoded.of(data, chosen)
    labels = Counter(data.labels)
    items = data.items if isinstance(data, OnDisk) else ()
    return Verification(
        dataset=str(spec),
        split=split,
        images=len(data.ids),
        expected=data.expected if isinstance(data, OnDisk) else None,
        classes=len(data.classes),
        shown=len(labels.keys() - {-1}),
        unlabelled=labels[-1],
        annotations=available_annotations(spec, split, data_root),
        missing=tuple(item.id for item in items if not item.file.is_file()),
        checked=len(chosen),
        unreadable=tuple(decoded.unreadable),
        boxless=decoded.boxless,
        boxes_lost=decoded.boxes_lost,
        empty_masks=decoded.empty_masks,
        fingerprint=data.fingerprint(),
    )


def _spread(count: int, wanted: int) -> list[int]:
    """Positions from the first to the last, evenly."""
    return sorted(set(torch.linspace(0, count - 1, min(count, wanted)).round().int().tolist())) if wanted else []


@dataclass
class _Decoded:
    unreadable: list[UnreadableImage]
    boxless: int = 0
    boxes_lost: int = 0
    empty_masks: int = 0

    @classmethod
    def of(cls, data: Dataset, positions: list[int]) -> _Decoded:
        found = cls([])
        for index in positions:
            try:
                sample = data[index]
            except SampleError as error:
                found.unreadable.append(UnreadableImage(data.ids[index], str(error)))
                continue
            found.boxes_lost += sample.boxes_dropped
            found.boxless += sample.boxes is not None and not len(sample.boxes)
            found.empty_masks += sample.mask is not None and not bool(sample.mask.any())
        return found
