"""OnDisk: a data set of image files with labels and annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.datasets.annotation_text import annotation_text
from camdbench.datasets.file_hashes import file_hashes
from camdbench.datasets.preprocess import read_picture
from camdbench.datasets.samples import Sample
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

Annotate = Callable[[int], Annotations]  # by position; picklable, for worker processes


class ImageRecord(NamedTuple):
    """One image file.

    Attributes:
        id: stable name of the image within its data set and split.
        file: path of the file.
        label: class index; -1 without a label.
    """

    id: str
    file: Path
    label: int


def is_file(path: Path) -> bool:
    """Whether a path is a file; False for a name that the system does not allow."""
    try:
        return path.is_file()
    except OSError:  # pathlib passes on a name that is too long
        return False


def no_annotations(index: int) -> Annotations:
    """No annotations."""
    del index
    return Annotations()


@dataclass(frozen=True, repr=False)
class OnDisk:
    """A data set of image files.

    Attributes:
        items: the images, in order.
        classes: class names in the network's order.
        geometry: preprocessing protocol.
        annotate: annotations of each image, in pixels of the file; it may raise SampleError.
        upright: whether images are rotated by their EXIF tag; False if annotations refer to the stored raster.
        masks: `gt`, or `bbox`: the filled tight box of each mask, or the filled boxes without masks.
        expected: published number of images of this split; None if unpublished.
    """

    items: tuple[ImageRecord, ...]
    classes: Sequence[str]
    geometry: SpatialTransform
    annotate: Annotate = no_annotations
    upright: bool = False
    masks: Literal["gt", "bbox"] = "gt"
    expected: int | None = None

    @property
    def ids(self) -> Sequence[str]:
        """Stable names, in order."""
        return self._ids

    @property
    def labels(self) -> Sequence[int]:
        """Class indices, in order."""
        return self._labels

    @cached_property
    def _ids(self) -> list[str]:
        return [item.id for item in self.items]

    @cached_property
    def _labels(self) -> list[int]:
        return [item.label for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images, {len(self.classes)} classes, {self.geometry.how}, size {self.geometry.size})"

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            SampleError: the image or its annotation cannot be read, or their sizes differ.
        """
        item = self.items[index]
        picture, known = read_picture(item.file, upright=self.upright), self.annotate(index)
        try:
            image, known, lost = self.geometry.fit(picture, known)
        except SampleError as error:
            raise SampleError(f"{item.file.name}: {error}") from None
        mask = known.mask
        if self.masks == "bbox":
            mask = filled(known.boxes if mask is None else box_of(mask), (image.shape[1], image.shape[2]))
        class_masks = None
        if known.class_map is not None:
            class_masks = known.class_map == torch.arange(1, len(self.classes) + 1)[:, None, None]
        return Sample(
            item.id,
            image,
            item.label,
            known.boxes,
            mask,
            present=known.present,
            class_masks=class_masks,
            boxes_dropped=lost,
            void=known.void,
            file_boxes=known.file_boxes,
            background=known.background,
            group=known.group,
            parts=known.parts,
            interventions=known.interventions,
            group_share=known.group_share,
        )

    def fingerprint(self) -> str:
        """Hash over classes, ids, labels, and the contents and annotations of all files.

        The first call reads every file; later ones their sizes and times (see `file_hashes`). Annotations by a function that is not
        of camdbench are read each time.
        """
        digest = hashlib.sha256("\n".join(self.classes).encode())
        text, files = annotation_text(self.annotate, len(self.items))
        own = dict.fromkeys([*(item.file for item in self.items), *files])
        contents = dict(zip(own, file_hashes(list(own)), strict=True))
        for item in self.items:
            digest.update(f"{item.id}\0{item.label}\0{contents[item.file]}\n".encode())
        digest.update("\n".join([text, *(contents[file] for file in files)]).encode("utf-8", "surrogatepass"))
        digest.update(self.masks.encode())
        return digest.hexdigest()[:16]


def filled(boxes: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """The mask (H, W) bool of pixels with their centre in one of the boxes.

    >>> filled(torch.tensor([[1.0, 0.0, 3.0, 1.6]]), (2, 4)).int()
    tensor([[0, 1, 1, 0],
            [0, 1, 1, 0]], dtype=torch.int32)
    """
    if boxes is None:
        return None
    y, x = torch.arange(size[0])[:, None] + 0.5, torch.arange(size[1]) + 0.5
    x0, y0, x1, y1 = (edge[:, None, None] for edge in boxes.unbind(1))
    return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any(0)
