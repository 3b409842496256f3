"""COCO: pictures with an annotation file of instances, boxes and masks."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.core.files import check_text
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.coco_masks import read_segmentation
from camdbench.datasets.folder_layout import FolderLayout
from camdbench.datasets.masks import with_masks
from camdbench.datasets.own.collections import own_files
from camdbench.datasets.own.items import Item, Source
from camdbench.datasets.own.objects import largest
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_EXPECTED = "ROOT/annotations/instances_val2017.json and ROOT/val2017/*.jpg, or the paths of the options instances and images"


@dataset(
    "coco",
    paper="Lin et al. 2014, arXiv:1405.0312",
    splits=(),
    gives=("boxes", "masks"),
    licence="annotations CC BY 4.0; the pictures are Flickr's, under its terms of use",
    source="https://cocodataset.org",
)
def coco(
    root: Path,
    *,
    instances: str = "annotations/instances_val2017.json",
    images: str = "val2017",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """COCO instances, or any annotation file of that form; the label is the class with the largest annotated area.

    Boxes and mask are those of the label's instances, `present` has all classes of the image, regions marked as crowd are void
    for their class. Masks are those of pycocotools. Pictures without an instance are left out. Labels meet the classes of a
    network by name.

    Args:
        root: folder of both paths.
        instances: the annotation file.
        images: folder of the pictures; `.` for the root.
        masks: `gt`, `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("coco", root, _EXPECTED)
    source = coco_source(layout.path(instances), layout.path(images))
    return with_masks(own_files(source, SpatialTransform(preprocess, size), name="coco"), masks)


def coco_source(file: Path, images: Path | None = None, limit: int | None = None) -> Source:
    """Items of an annotation file in COCO's form.

    Args:
        file: the annotation file.
        images: folder of the pictures; default: that of the file, `images` beside it, or the one that its name states, as
            `../val2017` of `annotations/instances_val2017.json`.
        limit: number of images, from the first.

    Raises:
        UsageError: the file does not exist, or no picture has an instance.
    """
    content = _read(file)
    home = _pictures_of(file, content) if images is None else images
    classes, names, items = _items(content, file, home)
    if not items:
        raise UsageError(f"{file}: no picture has an instance; give a file of instances")
    if left := len(content["images"]) - len(items):
        warnings.warn(f"{file}: {left} pictures without an instance are left out", CamdbenchWarning, stacklevel=2)
    items, names = items[:limit], names[:limit]
    return Source(items.__getitem__, len(items), names, classes, files=True, upright=False, name=file.stem)


def _pictures_of(file: Path, content: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Folder of the pictures of an annotation file, found by the first picture.

    Raises:
        UsageError: no folder holds it.
    """
    split = file.stem.rpartition("_")[2]
    folders = (file.parent, file.parent / "images", file.parent / split, file.parent.parent / split, file.parent.parent / "images")
    try:
        first = str(content["images"][0]["file_name"])
    except (LookupError, TypeError):  # `_items` states which entry is damaged
        return file.parent
    if found := next((folder for folder in folders if (folder / first).is_file()), None):
        return found
    raise UsageError(f"{file}: picture {first} is in none of {', '.join(map(str, folders))}; give images=FOLDER")


def _read(file: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of an annotation file.

    Raises:
        UsageError: it is not JSON, or lacks a table.
    """
    try:
        check_text(file)
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read as JSON ({error})") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UsageError(f"{file} has no list {key!r}; expected COCO's images, annotations and categories")
    return content


def _items(content: Mapping[str, list[dict[str, Any]]], file: Path, home: Path) -> tuple[tuple[str, ...], list[str], tuple[Item, ...]]:
    """Class names by category id, and name and item of each image with an instance.

    Raises:
        UsageError: an entry lacks a field, or refers to an unknown image or category.
    """
    try:
        categories = sorted(content["categories"], key=lambda one: one["id"])
        index = {one["id"]: position for position, one in enumerate(categories)}
        groups: dict[Any, list[_Instance]] = {one["id"]: [] for one in content["images"]}
        for one in content["annotations"]:
            groups[one["image_id"]].append(_Instance.of(one, index[one["category_id"]]))
        names, items = list[str](), list[Item]()
        for image in content["images"]:
            own = groups[image["id"]]
            if any(not instance.crowd for instance in own):
                names.append(str(image["file_name"]))
                items.append(_item(home / names[-1], own, (int(image["height"]), int(image["width"]))))
        classes = tuple(str(one["name"]) for one in categories)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file}: an entry is damaged or refers to an unknown id ({type(error).__name__}: {error})") from None
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise UsageError(f"{file}: two images have the file_name {twice!r}; give each picture one entry")
    return classes, names, tuple(items)


@dataclass(frozen=True)
class _Instance:
    category: int
    area: float
    box: tuple[float, float, float, float]
    segmentation: Any
    crowd: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any], category: int) -> _Instance:
        x, y, width, height = map(float, entry["bbox"])
        area = float(entry["area"]) if "area" in entry else width * height
        return cls(category, area, (x, y, x + width, y + height), entry.get("segmentation"), bool(entry.get("iscrowd", 0)))


def _item(picture: Path, instances: list[_Instance], size: tuple[int, int]) -> Item:
    single = [one for one in instances if not one.crowd]
    label = largest([one.category for one in single], [one.area for one in single])
    own = [one for one in single if one.category == label]
    crowd = tuple(one.segmentation for one in instances if one.crowd and one.category == label)
    boxes = torch.tensor([one.box for one in own if one.box[2] > one.box[0] and one.box[3] > one.box[1]]).reshape(-1, 4)
    mask = _Union(tuple(one.segmentation for one in own), size) if all(one.segmentation for one in own) else None
    void = _Union(crowd, size) if crowd else None
    return Item(picture, label, boxes, mask, tuple(dict.fromkeys(one.category for one in instances)), void)


@dataclass(frozen=True)
class _Union:
    """Union of the masks of segmentations; raises SampleError for one that cannot be read."""

    segmentations: tuple[Any, ...]
    size: tuple[int, int]

    def __call__(self) -> Tensor:
        mask = torch.zeros(self.size, dtype=torch.bool)
        for one in self.segmentations:
            mask |= read_segmentation(one, self.size)
        return mask
