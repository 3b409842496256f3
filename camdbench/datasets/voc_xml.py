"""Boxes from XML annotations of PASCAL VOC and ImageNet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from camdbench.core.errors import SampleError
from camdbench.core.files import check_regular
from camdbench.datasets.on_disk import is_file
from camdbench.datasets.transforms import Annotations
from camdbench.functional.file_boxes import FileBoxes


def read_boxes(file: Path, names: Collection[str], *, first: int, inclusive: bool = True) -> FileBoxes:
    """Boxes of the named objects.

    Args:
        file: the XML file.
        names: names of the objects.
        first: coordinate of the first pixel in the file, 0 or 1.
        inclusive: whether xmax in the file is the last pixel of the box, not the pixel after it.

    Raises:
        SampleError: the file is missing or damaged.
    """
    try:
        check_regular(file)
        objects = ET.parse(file).getroot().iter("object")  # noqa: S314 - expat refuses entity expansion and reads no external entities
        found = [
            [float(item.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for item in objects
            if (item.findtext("name") or "").strip() in names
        ]
    except (OSError, ET.ParseError, ValueError) as error:
        raise SampleError(f"{file.name}: cannot be read as boxes in XML ({error})") from None
    boxes = FileBoxes.of(found, first=first, inclusive=inclusive)
    if not bool(boxes.numbers.isfinite().all()):
        raise SampleError(f"{file.name}: an edge of a box is not a number")
    return boxes


@dataclass(frozen=True)
class BoxesFromXML:
    """Boxes of each image's class from one XML file per image.

    Attributes:
        files: XML file of each image.
        names: class name of each image in its file.
        first: coordinate of the first pixel, 0 or 1.
        inclusive: whether xmax is the last pixel of the box.
        required: whether a missing file is an error.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    first: int
    inclusive: bool = True
    required: bool = True

    def __call__(self, index: int) -> Annotations:
        """Annotations of an image."""
        file = self.files[index]
        if not self.required and not is_file(file):
            return Annotations.of_file(FileBoxes.of([], first=self.first, inclusive=self.inclusive))
        return Annotations.of_file(read_boxes(file, {self.names[index]}, first=self.first, inclusive=self.inclusive))


@dataclass(frozen=True)
class BoxesByImage:
    """Boxes by position of the image, as their file states them.

    Attributes:
        boxes: xmin, ymin, xmax, ymax of each box of each image.
        first: coordinate of the first pixel, 0 or 1.
        inclusive: whether xmax is the last pixel of the box.
    """

    boxes: tuple[tuple[tuple[float, ...], ...], ...]
    first: int
    inclusive: bool

    def __call__(self, index: int) -> Annotations:
        """Annotations of an image."""
        return Annotations.of_file(FileBoxes.of(self.boxes[index], first=self.first, inclusive=self.inclusive))
