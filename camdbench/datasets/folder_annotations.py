"""Masks and boxes beside images in class folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from camdbench.core.errors import UsageError, unknown
from camdbench.datasets.class_folders import mask_files
from camdbench.datasets.folder_layout import numbers, read_table
from camdbench.datasets.mask_values import read_mask
from camdbench.datasets.on_disk import Annotate, ImageRecord
from camdbench.datasets.transforms import Annotations, box_of

_EDGES = ("x0", "y0", "x1", "y1")


def folder_masks(home: Path, items: tuple[ImageRecord, ...]) -> Annotate:
    """Masks from a folder of files named like their images; nonzero values are object. Boxes are the tight boxes of the masks.

    Raises:
        UsageError: an image has no mask.
    """
    found = mask_files(home, items)
    missing = [item.id for item in items if item.id not in found]
    if missing:
        raise UsageError(f"{home}: {len(missing)} of {len(items)} masks are missing, first {missing[0]}; add one for each image")
    return _Masks(tuple(found[item.id] for item in items))


def listed_boxes(file: Path, items: tuple[ImageRecord, ...], others: Annotate) -> Annotate:
    """Boxes from a CSV file with the columns image,x0,y0,x1,y1: pixels from 0, ends exclusive; zero or more per image.

    Raises:
        UsageError: a column is missing, a value is not a number, a box is empty, or an image is unknown.
    """
    boxes: dict[str, list[list[float]]] = {item.id: [] for item in items}
    for row in read_table(file, "image,x0,y0,x1,y1"):
        if row["image"] not in boxes:
            raise unknown("image", row["image"], boxes, of=file)
        box = numbers([row[edge] for edge in _EDGES], file)
        if box[2] <= box[0] or box[3] <= box[1]:
            raise UsageError(f"{file}: the box {box} of {row['image']} is empty; ends are exclusive: use x1 > x0 and y1 > y0")
        boxes[row["image"]].append(box)
    return _Boxes(others, tuple(tuple(map(tuple, boxes[item.id])) for item in items))


@dataclass(frozen=True)
class _Masks:
    files: tuple[Path, ...]

    def __call__(self, index: int) -> Annotations:
        mask = read_mask(self.files[index])
        return Annotations(boxes=box_of(mask), mask=mask)


@dataclass(frozen=True)
class _Boxes:
    others: Annotate
    boxes: tuple[tuple[tuple[float, ...], ...], ...]

    def __call__(self, index: int) -> Annotations:
        return replace(self.others(index), boxes=torch.tensor(self.boxes[index]).reshape(-1, 4))
