"""OwnFiles and OwnObjects: data sets of a user's, from picture files or from objects in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.datasets.containers import to_tensor
from camdbench.datasets.in_memory import check_boxes
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.own.items import Item, Mask, Source
from camdbench.datasets.own.label_indices import index_labels
from camdbench.datasets.own.pictures import fit, naming, open_picture
from camdbench.datasets.samples import Sample, object_pixels
from camdbench.datasets.transforms import Annotations, SpatialTransform, TransformedSample

ClassRule = str | tuple[str, ...]  # names, positions, or the names of the data's classes in the network's order
_TWICE = 8  # images that are read twice when a data set is opened


@dataclass(frozen=True, repr=False)
class OwnFiles(OnDisk):
    """Picture files with annotations.

    Attributes:
        name: name of the data set in rows.
        class_rule: how labels meet the classes of a network.
    """

    name: str = "data"
    class_rule: ClassRule = "names"

    def fingerprint(self) -> str:
        """Hash as of every data set on disk, and over the preprocessing, which no spec of a run states."""
        return hashlib.sha256(f"{super().fingerprint()}\0{self.geometry.how}\0{self.geometry.size}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class OfItems:
    """Annotations of items by position.

    Attributes:
        items: the items.
        classes: class names.
    """

    items: Sequence[Item]
    classes: Sequence[str]

    def __call__(self, index: int) -> Annotations:
        """Annotations of an image.

        Raises:
            SampleError: a mask cannot be read.
        """
        return annotations_of(self.items[index], self.classes)


def annotations_of(item: Item, classes: Sequence[str]) -> Annotations:
    """Annotations of an item; `present` needs class names.

    Raises:
        UsageError: a shape is wrong.
        SampleError: a mask cannot be read.
    """
    boxes = None if item.boxes is None else check_boxes(item.boxes).float()
    present = None
    if item.present is not None and classes:
        indices, _ = index_labels(item.present, classes)
        present = torch.zeros(len(classes), dtype=torch.bool)
        present[indices] = True
    return Annotations(boxes, _pixels(item.mask), present=present, void=_pixels(item.void))


def _pixels(mask: Mask | None) -> Tensor | None:
    if mask is None:
        return None
    if not isinstance(mask, Tensor) and callable(mask):
        return mask()
    plane = object_pixels(to_tensor(mask, "masks")).as_subclass(Tensor)
    plane = plane.any(0) if plane.ndim == 3 else plane
    if plane.ndim != 2:
        raise UsageError(f"the mask has {plane.ndim} dimensions; expected (H, W)")
    return plane


def own_files(
    source: Source, geometry: SpatialTransform, names: Sequence[str] = (), *, name: str = "", class_rule: ClassRule = "names"
) -> OwnFiles:
    """The data set of a source whose pictures are files; none is read.

    Args:
        source: the items.
        geometry: preprocessing protocol.
        names: names of the images; default: those of the source.
        name: name of the data set in rows; default: that of the source.
        class_rule: how labels meet the classes of a network.

    Raises:
        UsageError: a label is of another kind or out of range.
    """
    items = tuple(source)
    indices, classes = index_labels([item.label for item in items], source.classes)
    files = [Path(item.picture) for item in items]
    records = tuple(ImageRecord(*each) for each in zip(names or source.ids or (), files, indices, strict=True))
    known = OfItems(items, classes)
    return OwnFiles(records, classes, geometry, known, upright=source.upright, name=name or source.name, class_rule=class_rule)


class OwnObjects:
    """Pictures that a function returns by position. All are read once when the data set is opened, the first ones twice.

    Args:
        read: returns the item at a position.
        ids: names of the images.
        classes: class names; empty if unknown.
        geometry: preprocessing protocol; None: see `own.pictures.fit`.
        size: side of the input in pixels for its default.
        name: name of the data set in rows.
        class_rule: how labels meet the classes of a network.

    Raises:
        UsageError: a picture, label or annotation is of another kind, or two readings of an image differ.
    """

    def __init__(
        self,
        read: Callable[[int], Item],
        ids: Sequence[str],
        classes: Sequence[str],
        geometry: SpatialTransform | None,
        *,
        size: int,
        name: str,
        class_rule: ClassRule,
    ) -> None:
        self.ids, self.name, self.class_rule = ids, name, class_rule
        self._read, self._geometry, self._size = read, geometry, size
        self._digests = list[bytes]()
        self.classes: Sequence[str] = classes
        raw = list[Any]()
        for index in range(len(ids)):
            item, fitted = self._fit(index)
            raw.append(item.label)
            self._digests.append(_digest(item, fitted))
            if index < _TWICE:
                self._check_again(index, *self._fit(index))
        self.labels, self.classes = index_labels(raw, classes)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {len(self)} images, {len(self.classes)} classes)"

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            UsageError: it differs from the first reading.
        """
        item, fitted = self._fit(index)
        self._check_again(index, item, fitted)
        own, present = fitted.annotations, annotations_of(Item(None, present=item.present), self.classes).present
        return Sample(
            self.ids[index],
            fitted.image,
            self.labels[index],
            own.boxes,
            own.mask,
            present=present,
            boxes_dropped=fitted.boxes_dropped,
            void=own.void,
        )

    def fingerprint(self) -> str:
        """Hash over classes, ids, labels, pixels and annotations of all images."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for name, label, own in zip(self.ids, self.labels, self._digests, strict=True):
            digest.update(f"{name}\0{label}\n".encode() + own)
        return digest.hexdigest()[:16]

    def _fit(self, index: int) -> tuple[Item, TransformedSample]:
        """An item and its preprocessed picture."""
        item = self._read(index)
        try:
            return item, fit(open_picture(item.picture), annotations_of(item, ()), self._geometry, self._size)
        except (SampleError, UsageError) as error:
            raise naming(self.ids[index], error) from None

    def _check_again(self, index: int, item: Item, fitted: TransformedSample) -> None:
        if _digest(item, fitted) != self._digests[index]:
            raise UsageError(
                f"image {self.ids[index]!r} differs between two readings: take random transforms out of the data set, "
                "which are for training"
            )


def _digest(item: Item, fitted: TransformedSample) -> bytes:
    """Hash of a preprocessed picture with its annotations and label."""
    known = fitted.annotations
    label = item.label.item() if hasattr(item.label, "item") else item.label
    digest = hashlib.sha256(f"{label}{item.present}".encode())
    for tensor in (fitted.image, known.boxes, known.mask, known.void):
        digest.update(b"-" if tensor is None else f"{tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.digest()
