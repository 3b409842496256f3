"""Aerial images of New Zealand: 12 classes of land cover, with optional masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import check_order, items_in
from camdbench.datasets.folder_annotations import folder_masks
from camdbench.datasets.folder_layout import FolderLayout, folders_in
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import OnDisk, no_annotations
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_EXPECTED = "ROOT/{train,test}/CLASS/*.jpg, and for masks ROOT/masks/{train,test}/CLASS/*.png"
_SIZES = {"train": 96_000, "test": 24_000}  # SO-Loss, section IV A: 8,000 and 2,000 of each of 12 classes


@dataset(
    "aerial",
    paper="SO-Loss, section IV A",
    splits=("train", "test"),
    optional=("masks: masks/{split}", "boxes: masks/{split}"),
    licence="none stated",
    source="an anonymous link in SO-Loss's paper, https://anonymous.4open.science/r/aerial_dataset_for_eval-20E1",
)
def aerial(
    root: Path,
    *,
    split: Literal["train", "test"] = "test",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Aerial images of New Zealand in class folders, with masks if `masks/` exists.

    The original layout is not published; this one is camdbench's. The classes are the folders of `train/`, or of the split if
    there is no `train/`, sorted by name.

    Args:
        root: folder of `train/` and `test/`, each with a folder per class, and optionally `masks/` with the same folders.
        split: `train` or `test`.
        masks: `gt`, `bbox` (the filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("aerial", root, _EXPECTED)
    home = layout.path(split)
    names = [path.name for path in folders_in(root / "train" if (root / "train").is_dir() else home)]
    check_order(names, f"--data-root {root}", "rename them, with leading zeros")
    items = items_in(home, {name: index for index, name in enumerate(names)}, layout)
    held = root / "masks" / split
    annotate = folder_masks(held, items) if held.is_dir() else no_annotations
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)
