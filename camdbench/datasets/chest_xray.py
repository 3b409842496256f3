"""Chest X-ray: normal lungs and pneumonia."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import items_in
from camdbench.datasets.folder_layout import FolderLayout
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_CLASSES = ("NORMAL", "PNEUMONIA")
_EXPECTED = "ROOT/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg"
_SIZES = {"train": 5216, "val": 16, "test": 624}  # Opti-CAM, appendix E.1


@dataset(
    "chest_xray",
    paper="Kermany et al. 2018, Mendeley Data; split sizes of Opti-CAM, appendix E.1",
    splits=("train", "val", "test"),
    licence="CC BY 4.0",
    no_copies="radiographs of patients",
    source="https://data.mendeley.com/datasets/rscbjbr9sj, with the split of Kaggle's chest-xray-pneumonia",
)
def chest_xray(
    root: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Chest X-ray: normal lungs and pneumonia; labels only.

    Args:
        root: folder of `train/`, `val/` and `test/`, each with a folder per class.
        split: `train`, `val` or `test`.
        preprocess: preprocessing protocol; Opti-CAM uses `resize224_distort`.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("chest_xray", root, _EXPECTED)
    home = layout.path(split)
    for name in _CLASSES:
        layout.path(f"{split}/{name}")
    items = items_in(home, {name: index for index, name in enumerate(_CLASSES)}, layout)
    return OnDisk(items, _CLASSES, SpatialTransform(preprocess, size), expected=_SIZES[split])
