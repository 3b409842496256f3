"""FGVC-Aircraft: variants, families or manufacturers of aircraft, one box per image."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, numbers, read_columns, read_lines
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform
from camdbench.datasets.voc_xml import BoxesByImage

_HOME = "fgvc-aircraft-2013b/data"
_EXPECTED = f"ROOT/{_HOME}/images/*.jpg, ROOT/{_HOME}/images_LEVEL_SPLIT.txt, the list of the level's names and ROOT/{_HOME}/images_box.txt"
_SIZES = {"train": 3334, "val": 3333, "trainval": 6667, "test": 3333}
_NAMES = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}


@dataset(
    "aircraft",
    paper="Maji et al. 2013, arXiv:1306.5151",
    splits=("train", "val", "trainval", "test"),
    gives=("boxes",),
    licence="research without commerce",
    source="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft",
    download=True,
)
def aircraft(
    root: Path,
    *,
    split: Literal["train", "val", "trainval", "test"] = "test",
    level: Literal["variant", "family", "manufacturer"] = "variant",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """FGVC-Aircraft: 100 variants of aircraft, one box per image, in torchvision's layout.

    The box file, which torchvision does not read, counts from 1 and includes both ends.

    Args:
        root: folder of `fgvc-aircraft-2013b/`.
        split: official split.
        level: 100 variants, 70 families or 30 manufacturers.
        masks: `gt` (none), `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol; the banner with the photographer's name is kept.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("aircraft", root, _EXPECTED)
    pictures, names = layout.path(f"{_HOME}/images"), read_lines(layout.path(f"{_HOME}/{_NAMES[level]}"))
    listing, boxes = layout.path(f"{_HOME}/images_{level}_{split}.txt"), layout.path(f"{_HOME}/images_box.txt")
    found = {name: numbers(edges.split(), boxes) for name, edges in read_columns(boxes, "IMAGE XMIN,YMIN,XMAX,YMAX")}
    rows = list(read_columns(listing, "IMAGE NAME"))
    for name, called in rows:
        if called not in names:
            raise layout.wrong(f"{listing.name} names {called!r}, which {_NAMES[level]} does not hold")
        if len(found.get(name, ())) != 4:
            raise layout.wrong(f"images_box.txt has no box of {name}")
    items = tuple(ImageRecord(name, pictures / f"{name}.jpg", names.index(called)) for name, called in rows)
    edges = [found[item.id] for item in items]
    annotate = BoxesByImage(tuple((tuple(box),) for box in edges), first=1, inclusive=True)
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)
