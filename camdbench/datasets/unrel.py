"""UnRel: objects in unusual relations, with boxes, labelled by classes of ImageNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, numbers, read_mat, read_table
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform
from camdbench.datasets.voc_xml import BoxesByImage

_EXPECTED = "ROOT/annotations.mat and ROOT/images/*.jpg"

Box = tuple[float, ...]
Objects = dict[str, list[Box]]  # the boxes of each category, in the order of their first appearance


@dataset(
    "unrel",
    paper="Peyre et al. 2017, arXiv:1707.09472; as CGC, section 4.1, evaluates on it",
    splits=(),
    gives=("boxes",),
    licence="none stated; the pictures are from the web",
    source="https://www.di.ens.fr/willow/research/unrel",
)
def unrel(
    root: Path,
    *,
    objects: Literal["all", "first"] = "all",
    mapping: str | None = None,
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """UnRel: unusual relations between objects, with boxes; labels are classes of ImageNet.

    CGC evaluates on "the 28 object categories that overlap with ImageNet" and does not name them. Here the table
    `unrel_classes.csv` maps each category with a counterpart to the nearest class of ImageNet. Box coordinates count from 1
    and include both ends.

    Args:
        root: folder of `annotations.mat` and `images/`.
        objects: `all`: one sample per category in an image, with all its boxes; `first`: the first annotated category.
        mapping: CSV file with the columns `name,wnid`; default: the package's table.
        masks: `gt` (none), `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol; CGC's content heatmap uses `short448`.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("unrel", root, _EXPECTED)
    pictures, listing = layout.path("images"), layout.path("annotations.mat")
    labels = _mapping(Path(mapping) if mapping is not None else Path(__file__).with_name("unrel_classes.csv"))
    items, boxes = list[ImageRecord](), list[tuple[Box, ...]]()
    for name, found in _objects(listing, layout):
        known = {category: edges for category, edges in found.items() if category in labels}
        for category in list(known)[: None if objects == "all" else 1]:
            items.append(ImageRecord(f"{Path(name).stem}/{category}", pictures / name, labels[category]))
            boxes.append(tuple(known[category]))
    if not items:
        raise layout.wrong("annotations.mat has no object with a class of ImageNet")
    names = [item.name for item in imagenet_classes()]
    annotate = BoxesByImage(tuple(boxes), first=1, inclusive=True)
    return with_masks(OnDisk(tuple(items), names, SpatialTransform(preprocess, size), annotate), masks)


def _mapping(file: Path) -> Mapping[str, int]:
    """Class index by category."""
    if not file.is_file():
        raise UsageError(f"mapping={str(file)!r}: no such file")
    pairs = {row["name"]: row["wnid"] for row in read_table(file, "name,wnid")}
    if others := [wnid for wnid in pairs.values() if wnid not in imagenet_positions()]:
        raise UsageError(f"{file}: {others[0]!r} is not a class of ImageNet")
    return {name: imagenet_positions()[wnid] for name, wnid in pairs.items()}


def _objects(file: Path, layout: FolderLayout) -> Iterator[tuple[str, Objects]]:
    """File name and objects of each image."""
    for entry in _each(read_mat(file, "annotations")["annotations"]):
        try:
            found: Objects = {}
            for item in _each(entry["objects"]):
                x0, y0, x1, y1 = numbers(map(str, np.ravel(item["box"])), file)
                boxes, box = found.setdefault(str(item["category"]), []), (x0, y0, x1, y1)
                if box not in boxes:  # an object is listed once per relation
                    boxes.append(box)
            yield str(entry["filename"]), found
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise layout.wrong(f"annotations.mat has an entry without filename, objects, category or box ({error!r})") from None


def _each(value: Any) -> list[Any]:
    """The entries of a MATLAB cell; scipy returns a single entry without a list."""
    return [value] if isinstance(value, dict) else np.ravel(value).tolist()
