"""PASCAL VOC 2007: 20 classes with boxes, the data of the pointing game."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import PositiveInt

from camdbench.core.errors import SampleError
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_maps import VOC_CLASSES
from camdbench.datasets.folder_layout import FolderLayout, read_lines
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.datasets.voc_xml import XMLObjects, read_objects
from camdbench.functional.file_boxes import FileBoxes

_HOME = "VOCdevkit/VOC2007"
_EXPECTED = f"ROOT/{_HOME}/JPEGImages/*.jpg, ROOT/{_HOME}/Annotations/*.xml and ROOT/{_HOME}/ImageSets/Main/{{train,val,trainval,test}}.txt"
_SIZES = {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952}
_INDEX = {name: index for index, name in enumerate(VOC_CLASSES)}


@dataset(
    "voc2007",
    paper="Everingham et al. 2010, doi 10.1007/s11263-009-0275-4; pairs of the pointing game: Fong et al. 2019, arXiv:1910.08485",
    splits=("train", "val", "trainval", "test"),
    gives=("boxes",),
    licence="the pictures are Flickr's, under its terms of use; for research",
    source="http://host.robots.ox.ac.uk/pascal/VOC/voc2007",
)
def voc2007(
    root: Path,
    *,
    split: Literal["train", "val", "trainval", "test"] = "test",
    labels: Literal["largest", "each"] = "largest",
    subset: Literal["all", "difficult"] = "all",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """PASCAL VOC 2007 with the boxes of the label's class; `present` has all classes of the image.

    A class of an image does not count if all of its objects are marked as difficult, unless the image has no other objects. Boxes
    count from 1, ends inclusive; difficult objects of a class that counts keep their boxes, as in TorchRay's pointing game. All
    XML files are read when the data set is opened.

    Args:
        root: folder of `VOCdevkit/VOC2007/`.
        split: official split of the detection task.
        labels: `largest`: one sample per image, of the class with the largest sum of box areas; `each`: one sample per image and
            class, IMAGE/CLASS, without classes whose objects are all difficult.
        subset: `difficult`: pairs of image and class whose boxes have together less than a quarter of the image's area, in images
            with another class (Zhang et al. 2018, arXiv:1608.00507).
        masks: `gt` (none), `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("voc2007", root, _EXPECTED)
    pictures, annotations = layout.path(f"{_HOME}/JPEGImages"), layout.path(f"{_HOME}/Annotations")
    names = read_lines(layout.path(f"{_HOME}/ImageSets/Main/{split}.txt"))
    pairs = [pair for name in names for pair in _pairs(name, annotations / f"{name}.xml", labels, subset)]
    if not pairs:
        raise layout.wrong(f"no image of {split} has an object of the {subset} subset")
    items = tuple(ImageRecord(pair.id, pictures / f"{pair.image}.jpg", pair.label) for pair in pairs)
    annotate = _Boxes(tuple(annotations / f"{pair.image}.xml" for pair in pairs), tuple(item.label for item in items))
    expected = _SIZES[split] if (labels, subset) == ("largest", "all") else None
    return with_masks(OnDisk(items, VOC_CLASSES, SpatialTransform(preprocess, size), annotate, expected=expected), masks)


class _Pair(NamedTuple):
    id: str
    image: str
    label: int


def _pairs(name: str, file: Path, labels: str, subset: str) -> Iterator[_Pair]:
    """Samples of an image; one without a label for an unreadable file, whose sample raises the error."""
    try:
        found = read_objects(file)
    except SampleError:
        yield _Pair(name, name, -1)
        return
    areas = _areas(found)
    counted = _classes(found) if labels == "largest" else _easy_classes(found)
    kept = [label for label in counted if subset == "all" or (len(areas) > 1 and 4 * areas[label] < found.size[0] * found.size[1])]
    if labels == "each":
        yield from (_Pair(f"{name}/{VOC_CLASSES[label]}", name, label) for label in kept)
    elif kept:
        yield _Pair(name, name, max(kept, key=lambda label: areas[label]))


def _classes(found: XMLObjects) -> list[int]:
    """Classes with an object that is not marked as difficult, in order; without any, all classes."""
    return _easy_classes(found) or sorted(_areas(found))


def _easy_classes(found: XMLObjects) -> list[int]:
    return sorted({_INDEX[one.name] for one in found.objects if one.name in _INDEX and not one.difficult})


def _areas(found: XMLObjects) -> dict[int, float]:
    """Sum of the areas of the boxes of each class, in pixels."""
    areas = dict[int, float]()
    for name, (x0, y0, x1, y1), _ in found.objects:
        if name in _INDEX:
            areas[_INDEX[name]] = areas.get(_INDEX[name], 0.0) + (x1 - x0 + 1) * (y1 - y0 + 1)
    return areas


@dataclass(frozen=True)
class _Boxes:
    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def __call__(self, index: int) -> Annotations:
        found, label = read_objects(self.files[index]), self.labels[index]
        own = FileBoxes.of([one.edges for one in found.objects if _INDEX.get(one.name) == label], first=1, inclusive=True)
        present = torch.zeros(len(VOC_CLASSES), dtype=torch.bool)
        present[_classes(found)] = True
        return Annotations(boxes=own.exclusive(), file_boxes=own, present=present)
