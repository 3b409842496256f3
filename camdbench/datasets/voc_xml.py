"""Boxes from annotation files in the XML of PASCAL VOC, which ImageNet uses too."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import torch
from torch import Tensor

from camdbench.core.errors import SampleError
from camdbench.datasets.transforms import Annotations


def read_boxes(file: Path, names: Collection[str], *, first: int, inclusive: bool = True) -> Tensor:
    """The boxes (N, 4) of the objects of some names, as 0-based xyxy with exclusive ends.

    Args:
        file: the XML file.
        names: which objects' boxes are wanted.
        first: the number that the file gives to the first pixel, 0 or 1.
        inclusive: whether the file's xmax is the last pixel of the box, rather than the one after it.

    Raises:
        SampleError: the file is missing or damaged.
    """
    try:
        objects = ET.parse(file).getroot().iter("object")  # noqa: S314 - expat refuses expanding entities, and nothing external is read
        found = [
            [float(item.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for item in objects
            if (item.findtext("name") or "").strip() in names
        ]
    except (OSError, ET.ParseError, ValueError) as error:
        raise SampleError(f"{file.name}: cannot be read as boxes in XML ({error})") from None
    boxes = torch.tensor(found).reshape(-1, 4) - first
    if not bool(boxes.isfinite().all()):
        raise SampleError(f"{file.name}: a box has an edge that is no number")
    boxes[:, 2:] += inclusive
    return boxes


@dataclass(frozen=True)
class BoxesFromXML:
    """The boxes of each image's own class from an XML file of its own.

    Attributes:
        files: the XML file of each image.
        names: the name of each image's class in them.
        first: the number of the first pixel.
        inclusive: whether xmax is the last pixel of the box.
        required: whether a missing file is an error, rather than no box.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    first: int
    inclusive: bool = True
    required: bool = True

    def __call__(self, index: int) -> Annotations:
        """What is known of an image."""
        file = self.files[index]
        if not self.required and not file.is_file():
            return Annotations(boxes=torch.zeros(0, 4))
        return Annotations(boxes=read_boxes(file, {self.names[index]}, first=self.first, inclusive=self.inclusive))


@dataclass(frozen=True)
class BoxesByImage:
    """Boxes that a listing has given already, one set for each image."""

    boxes: tuple[tuple[tuple[float, ...], ...], ...]

    def __call__(self, index: int) -> Annotations:
        """What is known of an image."""
        return Annotations(boxes=torch.tensor(self.boxes[index]).reshape(-1, 4))
