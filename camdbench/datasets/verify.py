"""Verification of a data set: completeness, and readability of its images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from camdbench.core.spec import Spec
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.mosaic_draws import LoadModel
from camdbench.datasets.on_disk import OnDisk, is_file
from camdbench.datasets.open_dataset import available_annotations, open_dataset
from camdbench.datasets.samples import Dataset


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        dataset: the spec.
        split: the split.
        images: number of listed images.
        expected: published number of images; None if unpublished.
        classes: number of classes of the network.
        shown: number of classes with images.
        unlabelled: number of images without a label.
        annotations: `boxes`, `masks`.
        missing: ids of images without a file.
        checked: number of decoded images.
        unreadable: decoded images with an error.
        boxless: number of decoded images without a box, in a data set with boxes.
        boxes_dropped: number of boxes outside the image after preprocessing, among decoded images.
        empty_masks: number of empty masks among decoded images.
        fingerprint: hash in the record of a run.
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
    boxes_dropped: int
    empty_masks: int
    fingerprint: str

    @property
    def complete(self) -> bool:
        """Whether the number of images is the published one; True if unpublished."""
        return self.expected in (None, self.images)

    @property
    def sound(self) -> bool:
        """Whether no file is missing and no decoded image is unreadable."""
        return not self.missing and not self.unreadable


def verify(spec: Spec, split: str, data_root: Path | None, *, check: int | None = 100, load: LoadModel | None = None) -> Verification:
    """Open a checked data set, count it, and decode some of its images.

    Args:
        spec: checked spec of the data set.
        split: the split.
        data_root: folder of the data set.
        check: number of images to decode, spread evenly over the list; None: all.
        load: loads a model by name, for a wrapper that filters images by a model.

    Raises:
        UsageError: the files have another layout.
    """
    return verify_opened(
        open_dataset(spec, split, data_root, load=load), str(spec), split, available_annotations(spec, split, data_root), check=check
    )


def verify_opened(data: Dataset, name: str, split: str, annotations: tuple[str, ...], *, check: int | None = 100) -> Verification:
    """Count an opened data set, and decode some of its images.

    Args:
        data: the data set.
        name: its spec.
        split: the split.
        annotations: `boxes`, `masks`.
        check: number of images to decode, spread evenly over the list; None: all.
    """
    chosen = _spread(len(data.ids), len(data.ids) if check is None else check)
    decoded = _Decoded.of(data, chosen)
    labels = Counter(data.labels)
    items = data.items if isinstance(data, OnDisk) else ()
    return Verification(
        dataset=name,
        split=split,
        images=len(data.ids),
        expected=data.expected if isinstance(data, OnDisk) else None,
        classes=len(data.classes),
        shown=len(labels.keys() - {-1}),
        unlabelled=labels[-1],
        annotations=annotations,
        missing=tuple(item.id for item in items if not is_file(item.file)),
        checked=len(chosen),
        unreadable=tuple(decoded.unreadable),
        boxless=decoded.boxless,
        boxes_dropped=decoded.boxes_dropped,
        empty_masks=decoded.empty_masks,
        fingerprint=data.fingerprint(),
    )


def _spread(count: int, wanted: int) -> list[int]:
    """Evenly spaced positions from the first to the last."""
    return sorted(set(torch.linspace(0, count - 1, min(count, wanted)).round().int().tolist())) if wanted else []


@dataclass
class _Decoded:
    unreadable: list[UnreadableImage]
    boxless: int = 0
    boxes_dropped: int = 0
    empty_masks: int = 0

    @classmethod
    def of(cls, data: Dataset, positions: list[int]) -> _Decoded:
        found = cls([])
        for index in positions:
            sample = read(data, index)
            if isinstance(sample, UnreadableImage):
                found.unreadable.append(sample)
                continue
            found.boxes_dropped += sample.boxes_dropped
            found.boxless += sample.boxes is not None and not len(sample.boxes)
            found.empty_masks += sample.mask is not None and not bool(sample.mask.any())
        return found
