"""PASCAL VOC 2012 segmentation: 20 classes, single-label images or all images as multi-label."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_maps import VOC_CLASSES, FromClassMaps, as_class_map, largest_items, shown_in
from camdbench.datasets.folder_layout import FolderLayout, read_lines
from camdbench.datasets.mask_values import read_values
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_HOME = "VOCdevkit/VOC2012"
_EXPECTED = (
    f"ROOT/{_HOME}/JPEGImages/*.jpg, ROOT/{_HOME}/SegmentationClass/*.png and "
    f"ROOT/{_HOME}/ImageSets/Segmentation/{{train,val,trainval}}.txt"
)
_SIZES = {
    "single": {"train": 931, "val": 925, "trainval": 1856},  # SO-Loss, section IV A
    "multi": {"train": 1464, "val": 1449, "trainval": 2913},
}


@dataset(
    "voc2012",
    paper="Everingham et al. 2012, PASCAL VOC; single-label subset of SO-Loss",
    splits=("train", "val", "trainval"),
    gives=("boxes", "masks"),
    licence="the pictures are Flickr's, under its terms of use; for research",
    source="http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
    download=True,
)
def voc2012(
    root: Path,
    *,
    split: Literal["train", "val", "trainval"] = "val",
    labels: Literal["single", "multi"] = "single",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """PASCAL VOC 2012 segmentation images, with one class (`single`) or as multi-label data set (`multi`).

    An image shows the classes in its class map; all maps are read when the data set is opened. The mask is that of the label,
    the box is its tight box.

    Args:
        root: folder of `VOCdevkit/VOC2012/`.
        split: official `train`, `val` or `trainval` of the segmentation task.
        labels: `single`: images whose map has one class (931 and 925 in SO-Loss); `multi`: all, with `present` and
            `class_masks`, labelled by the class with the most pixels.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("voc2012", root, _EXPECTED)
    pictures, maps = layout.path(f"{_HOME}/JPEGImages"), layout.path(f"{_HOME}/SegmentationClass")
    names = read_lines(layout.path(f"{_HOME}/ImageSets/Segmentation/{split}.txt"))
    shown = {name: shown_in(maps / f"{name}.png", _read_map, len(VOC_CLASSES)) for name in names}
    if labels == "single":
        names = [name for name, seen in shown.items() if seen is None or len(seen.classes) == 1]  # an unreadable map raises later
    if not names:
        raise layout.wrong(f"no image of {split} has a class map with {'one class' if labels == 'single' else 'a class'}")
    items = largest_items(names, pictures, [shown[name] for name in names])
    files = tuple(maps / f"{name}.png" for name in names)
    annotate = FromClassMaps(_read_map, files, items, len(VOC_CLASSES), labels == "multi")
    return with_masks(OnDisk(items, VOC_CLASSES, SpatialTransform(preprocess, size), annotate, expected=_SIZES[labels][split]), masks)


def _read_map(file: Path) -> Tensor:
    """The class map: palette indices of a PNG."""
    return as_class_map(read_values(file), file)
