"""CUB-200-2011: 200 bird species, one box per image, optional segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, integer, numbers, read_columns
from camdbench.datasets.mask_values import read_values
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import Annotate, ImageRecord, OnDisk, no_annotations
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of
from camdbench.functional.file_boxes import FileBoxes

_HOME = "CUB_200_2011"
_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt", "classes.txt")
_EXPECTED = f"ROOT/{_HOME}/images/CLASS/*.jpg, ROOT/{_HOME}/{{{','.join(_LISTS)}}}, and for masks ROOT/segmentations/CLASS/*.png"
_SIZES = {"train": 5994, "test": 5794}


@dataset(
    "cub200",
    paper="Wah et al. 2011, CNS-TR-2011-001",
    splits=("train", "test"),
    gives=("boxes",),
    optional=("masks: segmentations", "masks: CUB_200_2011/segmentations"),
    licence="research and education without commerce; the pictures are their owners'",
    source="https://www.vision.caltech.edu/datasets/cub_200_2011",
)
def cub200(
    root: Path,
    *,
    split: Literal["train", "test"] = "test",
    agree: Literal[1, 2, 3, 4, 5] = 3,
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """CUB-200-2011: 200 bird species with boxes, and with masks if the segmentations exist.

    Boxes are `x y width height` with offsets from 0. The grey value of a segmentation is 51 times the number of annotators,
    out of five, who marked the pixel.

    Args:
        root: folder of `CUB_200_2011/`, and of `segmentations/` (a separate download) beside or inside it.
        split: official split.
        agree: smallest number of annotators for an object pixel.
        masks: `gt`, `bbox` (filled tight box of the mask, or the box) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("cub200", root, _EXPECTED)
    pictures = layout.path(f"{_HOME}/images")
    files = [layout.path(f"{_HOME}/{name}") for name in _LISTS]
    names, labels, parts, edges, classes = (dict(read_columns(file, "NUMBER REST")) for file in files)
    wanted = [number for number in names if parts.get(number) == ("1" if split == "train" else "0")]
    if lacking := [number for number in wanted if number not in labels or number not in edges]:
        raise layout.wrong(f"image {lacking[0]} has no label or no box")
    if strangers := [number for number in wanted if labels[number] not in classes]:
        raise layout.wrong(f"image {strangers[0]} has the class {labels[strangers[0]]}, which classes.txt does not hold")
    order = {number: index for index, number in enumerate(sorted(classes, key=lambda number: integer(number, files[4])))}
    items = tuple(ImageRecord(names[number], pictures / names[number], order[labels[number]]) for number in wanted)
    boxes = tuple(_corners(numbers(edges[number].split(), files[3]), files[3]) for number in wanted)
    annotate = _Known(boxes, _segmentations(root, [names[number] for number in wanted]), 51 * agree)
    called = [classes[number].partition(".")[2].replace("_", " ") for number in order]
    return with_masks(OnDisk(items, called, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)


def cub_annotations(root: Path, names: Sequence[str], agree: int, layout: FolderLayout) -> Annotate:
    """Boxes and masks of images by their paths in `CUB_200_2011/images`, as far as the files exist.

    Args:
        root: folder of `CUB_200_2011/` and `segmentations/`.
        names: paths of the images.
        agree: smallest number of annotators for an object pixel.
        layout: expected layout, for errors.

    Raises:
        UsageError: an image is in no list of CUB.
    """
    maps, listing = _segmentations(root, names), root / _HOME / "bounding_boxes.txt"
    if not listing.is_file():
        return no_annotations if maps is None else _Known(None, maps, 51 * agree)
    numbered = {name: number for number, name in read_columns(layout.path(f"{_HOME}/images.txt"), "NUMBER REST")}
    edges = dict(read_columns(listing, "NUMBER REST"))
    if strangers := [name for name in names if numbered.get(name) not in edges]:
        raise layout.wrong(f"image {strangers[0]} has no box in {_HOME}")
    return _Known(tuple(_corners(numbers(edges[numbered[name]].split(), listing), listing) for name in names), maps, 51 * agree)


def _segmentations(root: Path, names: Sequence[str]) -> tuple[Path, ...] | None:
    """Files of the segmentations of images; None without a folder of them."""
    home = next((path for path in (root / "segmentations", root / _HOME / "segmentations") if path.is_dir()), None)
    return None if home is None else tuple((home / name).with_suffix(".png") for name in names)


def _corners(box: list[float], file: Path) -> tuple[float, ...]:
    if len(box) != 4 or min(box[2:]) <= 0:
        raise UsageError(f"{file}: expected NUMBER X Y WIDTH HEIGHT with a positive width and height, found {box}")
    x, y, width, height = box
    return x, y, x + width, y + height


@dataclass(frozen=True)
class _Known:
    boxes: tuple[tuple[float, ...], ...] | None
    maps: tuple[Path, ...] | None
    least: int

    def __call__(self, index: int) -> Annotations:
        mask = None if self.maps is None else torch.from_numpy(read_values(self.maps[index]) >= self.least)
        if self.boxes is None:
            return Annotations(boxes=None if mask is None else box_of(mask), mask=mask)
        return replace(Annotations.of_file(FileBoxes.of([self.boxes[index]], first=0, inclusive=False)), mask=mask)
