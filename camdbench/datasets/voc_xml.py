"""Boxes from XML annotations of PASCAL VOC and ImageNet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from camdbench.core.errors import SampleError
from camdbench.core.files import check_regular
from camdbench.datasets.on_disk import is_file
from camdbench.datasets.transforms import Annotations
from camdbench.functional.file_boxes import FileBoxes


class NamedBox(NamedTuple):
    """One object of an XML file.

    Attributes:
        name: its class.
        edges: xmin, ymin, xmax, ymax as the file states them.
        difficult: whether it is marked as hard to recognise.
    """

    name: str
    edges: tuple[float, float, float, float]
    difficult: bool


class XMLObjects(NamedTuple):
    """Content of an XML file: height and width of the image, 0 if not stated, and its objects in order."""

    size: tuple[int, int]
    objects: tuple[NamedBox, ...]


def read_objects(file: Path, names: Collection[str] | None = None) -> XMLObjects:
    """Objects of an XML file.

    Args:
        file: the XML file.
        names: names of the objects; default: all.

    Raises:
        SampleError: the file is missing or damaged, or an edge is not a number.
    """
    try:
        check_regular(file)
        content = ET.parse(file).getroot()  # noqa: S314 - expat refuses entity expansion and reads no external entities
        size = int(content.findtext("size/height") or 0), int(content.findtext("size/width") or 0)
        chosen = (item for item in content.iter("object") if names is None or _name_of(item) in names)
        found = XMLObjects(size, tuple(map(_named_box, chosen)))
    except (OSError, ET.ParseError, ValueError) as error:
        raise SampleError(f"{file.name}: cannot be read as boxes in XML ({error})") from None
    if not all(isfinite(edge) for one in found.objects for edge in one.edges):
        raise SampleError(f"{file.name}: an edge of a box is not a number")
    return found


def _name_of(item: ET.Element) -> str:
    return (item.findtext("name") or "").strip()


def _named_box(item: ET.Element) -> NamedBox:
    x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax"))
    return NamedBox(_name_of(item), (x0, y0, x1, y1), (item.findtext("difficult") or "").strip() == "1")


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
    return FileBoxes.of([one.edges for one in read_objects(file, names).objects], first=first, inclusive=inclusive)


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
