"""UnRel: objects in unusual places, with boxes, under the classes of ImageNet that they are instances of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, read_mat, read_table
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
    preprocess: Literal["resize256_crop224", "resize224_distort", "short448", "keep"] = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """UnRel: unusual relations between objects, with boxes; labels are classes of ImageNet.

    CGC evaluates on "the 28 object categories that overlap with ImageNet" and does not name them. Here a table,
    `unrel_classes.csv` in the package, gives each category of the annotations that has a counterpart the one class of
    ImageNet that is nearest; which of them have images depends on the data. The annotations count from 1 and include
    both ends.

    Args:
        root: holds `annotations.mat` and `images/`.
        objects: `all` makes one sample of each category in an image, with all its boxes; `first` takes the category
            that is annotated first.
        mapping: a CSV file with the columns `name,wnid` to use instead of the package's table.
        masks: `gt` (there are none), `bbox` (the filled boxes) or a folder of masks ID.png.
        preprocess: how a picture becomes the network's input; CGC's content heatmap takes `short448`.
        size: side of the network's input in pixels.

    Raises:
        UsageError: the layout is another one; the message says what was expected and found.
    """
    layout = FolderLayout("unrel", root, _EXPECTED)
    pictures, listing = layout.path("images"), layout.path("annotations.mat")
    labels = _mapping(Path(mapping) if mapping is not None else Path(__file__).with_name("unrel_classes.csv"))
    items, boxes = list[ImageRecord](), list[tuple[Box, ...]]()
    for name, found in _annotated(listing, layout):
        known = {category: held for category, held in found.items() if category in labels}
        for category in list(known)[: None if objects == "all" else 1]:
            items.append(ImageRecord(f"{Path(name).stem}/{category}", pictures / name, labels[category]))
            boxes.append(tuple(known[category]))
    if not items:
        raise layout.wrong("annotations.mat names no object that has a class of ImageNet")
    names = [item.name for item in imagenet_classes()]
    return with_masks(OnDisk(tuple(items), names, SpatialTransform(preprocess, size), BoxesByImage(tuple(boxes))), masks)


def _mapping(file: Path) -> Mapping[str, int]:
    """The class index of each category."""
    if not file.is_file():
        raise UsageError(f"mapping={str(file)!r}: no such file")
    pairs = {row["name"]: row["wnid"] for row in read_table(file, "name,wnid")}
    if strangers := [wnid for wnid in pairs.values() if wnid not in imagenet_positions()]:
        raise UsageError(f"{file}: {strangers[0]!r} is no class of ImageNet")
    return {name: imagenet_positions()[wnid] for name, wnid in pairs.items()}


def _annotated(file: Path, layout: FolderLayout) -> Iterator[tuple[str, Objects]]:
    """Each picture's file name and its objects."""
    for entry in _each(read_mat(file, "annotations")["annotations"]):
        try:
            found: Objects = {}
            for item in _each(entry["objects"]):
                x0, y0, x1, y1 = (float(edge) for edge in np.ravel(item["box"]))
                held, box = found.setdefault(str(item["category"]), []), (x0 - 1, y0 - 1, x1, y1)
                if box not in held:  # an object stands once for each relation that it is part of
                    held.append(box)
            yield str(entry["filename"]), found
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise layout.wrong(f"annotations.mat has an entry without filename, objects, category or box ({error!r})") from None


def _each(value: Any) -> list[Any]:
    """The entries of a MATLAB cell, which scipy gives as an array or, where there is one alone, as itself."""
    return [value] if isinstance(value, dict) else np.ravel(value).tolist()
