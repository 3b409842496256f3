"""Semantic Boundaries Dataset: PASCAL VOC's 20 classes, multi-label, with class masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_maps import VOC_CLASSES, FromClassMaps, as_class_map, largest_items, shown_in
from camdbench.datasets.folder_layout import FolderLayout, read_lines, read_mat
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_EXPECTED = "ROOT/img/*.jpg, ROOT/cls/*.mat and ROOT/{train,val,train_noval}.txt"
_SIZES = {"train": 8498, "val": 2857, "train_noval": 5623}


@dataset(
    "sbd",
    paper="Hariharan et al. 2011, ICCV",
    splits=("train", "val", "train_noval"),
    gives=("boxes", "masks"),
    licence="the pictures are Flickr's, under its terms of use; the annotations state none",
    source="http://home.bharathh.info/pubs/codes/SBD/download.html",
    download=True,
)
def sbd(
    root: Path,
    *,
    split: Literal["train", "val", "train_noval"] = "val",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Semantic Boundaries Dataset: PASCAL VOC's 20 classes, multi-label, with class masks.

    An image shows the classes in its class map at full resolution; all maps are read when the data set is opened. Each sample
    has `present` and `class_masks`; label and mask are those of the class with the most pixels, the box is the mask's
    tight box.

    Args:
        root: folder of `img/`, `cls/` and the lists.
        split: official `train` or `val`, or `train_noval` without the images of VOC 2012's val.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png; class masks are unchanged.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("sbd", root, _EXPECTED)
    pictures, maps = layout.path("img"), layout.path("cls")
    names = read_lines(layout.path(f"{split}.txt"))
    if not names:
        raise layout.wrong(f"{split}.txt is empty")
    files = tuple(maps / f"{name}.mat" for name in names)
    items = largest_items(names, pictures, [shown_in(file, _read_map, len(VOC_CLASSES)) for file in files])
    annotate = FromClassMaps(_read_map, files, items, len(VOC_CLASSES), several=True)
    return with_masks(OnDisk(items, VOC_CLASSES, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)


def _read_map(file: Path) -> Tensor:
    """The class map, `GTcls.Segmentation` of a MATLAB file."""
    try:
        return as_class_map(np.asarray(read_mat(file, "GTcls")["GTcls"]["Segmentation"]), file)
    except (UsageError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise SampleError(f"{file.name}: cannot be read as a class map ({error})") from None
