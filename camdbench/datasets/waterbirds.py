"""Waterbirds: birds of CUB-200-2011 pasted on land or water, a correlation that is 95 % in training and 50 % in testing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.cub200 import cub_annotations
from camdbench.datasets.folder_layout import FolderLayout, integer, read_table
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import Annotate, ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform

_HOME = "waterbird_complete95_forest2water2"
_EXPECTED = (
    f"ROOT/{_HOME}/metadata.csv and ROOT/{_HOME}/CLASS/*.jpg; for masks ROOT/segmentations/CLASS/*.png of CUB-200-2011, "
    "for boxes ROOT/CUB_200_2011/{images,bounding_boxes}.txt"
)
_SPLITS = {"train": 0, "val": 1, "test": 2}
_SIZES = {"train": 4795, "val": 1199, "test": 5794}  # 80 % and 20 % of CUB's 5,994 training images, and its test images


@dataset(
    "waterbirds",
    paper="Sagawa et al. 2020, arXiv:1911.08731, appendix C.1",
    splits=("train", "val", "test"),
    gives=("backgrounds",),
    optional=(
        "masks: segmentations",
        "masks: CUB_200_2011/segmentations",
        "boxes: segmentations",
        "boxes: CUB_200_2011/segmentations",
        "boxes: CUB_200_2011/bounding_boxes.txt",
    ),
    licence="the pictures are those of CUB-200-2011, for research without commerce, and of Places",
    source="https://github.com/kohpangwei/group_DRO",
)
def waterbirds(
    root: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    agree: Literal[1, 2, 3, 4, 5] = 3,
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Waterbirds: land birds (0) and water birds (1) on land (0) or water (1), with masks and boxes if CUB-200-2011 is there.

    `background` is the place, `group` is 2 label + place, `group_share` its frequency in `train`. An image keeps the size and the
    bird's position of CUB's image of the same path, so that CUB's segmentations and boxes hold. Without CUB's list of boxes, the box
    is the mask's tight box.

    Args:
        root: folder of `waterbird_complete95_forest2water2/`, and of CUB's `segmentations/` and `CUB_200_2011/`.
        split: official split; label and place correlate in `train` alone.
        agree: smallest number of annotators, out of five, for an object pixel.
        masks: `gt`, `bbox` (filled tight box of the mask, or the box) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("waterbirds", root, _EXPECTED)
    listing = layout.path(f"{_HOME}/metadata.csv")
    rows = [_Row.of(row, listing) for row in read_table(listing, "img_filename,y,split,place")]
    if wrong := next((row for row in rows if row.label not in (0, 1) or row.place not in (0, 1)), None):
        raise layout.wrong(f"{listing.name}: {wrong.name} has a label or place other than 0 and 1")
    trained = Counter((row.label, row.place) for row in rows if row.split == _SPLITS["train"])
    rows = [row for row in rows if row.split == _SPLITS[split]]
    items = tuple(ImageRecord(row.name, listing.parent / row.name, row.label) for row in rows)
    birds = cub_annotations(root, [row.name for row in rows], agree, layout)
    counts = tuple(trained[label, place] for label in (0, 1) for place in (0, 1))
    annotate = _Groups(birds, tuple(row.label for row in rows), tuple(row.place for row in rows), counts)
    data = OnDisk(items, ("land bird", "water bird"), SpatialTransform(preprocess, size), annotate, expected=_SIZES[split])
    return with_masks(data, masks)


@dataclass(frozen=True)
class _Row:
    name: str
    label: int
    split: int
    place: int

    @classmethod
    def of(cls, row: dict[str, str], file: Path) -> _Row:
        return cls(row["img_filename"], *(integer(row[column], file) for column in ("y", "split", "place")))


@dataclass(frozen=True)
class _Groups:
    birds: Annotate
    labels: tuple[int, ...]
    places: tuple[int, ...]
    counts: tuple[int, ...]  # of training images, by group

    def __call__(self, index: int) -> Annotations:
        place = self.places[index]
        group = 2 * self.labels[index] + place
        share = self.counts[group] / sum(self.counts) if sum(self.counts) else None
        return replace(self.birds(index), background=place, group=group, group_share=share)
