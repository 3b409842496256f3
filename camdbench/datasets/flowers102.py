"""Oxford 102 Flowers: labels only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, read_mat
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_HOME = "flowers-102"
_EXPECTED = f"ROOT/{_HOME}/jpg/image_*.jpg, ROOT/{_HOME}/imagelabels.mat and ROOT/{_HOME}/setid.mat"
_SIZES = {"train": 1020, "val": 1020, "test": 6149}
_IDS = {"train": "trnid", "val": "valid", "test": "tstid"}


@dataset(
    "flowers102",
    paper="Nilsback and Zisserman 2008, ICVGIP",
    splits=("train", "val", "test"),
    licence="none stated",
    source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
    download=True,
)
def flowers102(
    root: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Oxford 102 Flowers: labels only, in torchvision's layout.

    Args:
        root: folder of `flowers-102/`.
        split: official `train`, `val` or `test`.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    from torchvision.datasets import Flowers102

    layout = FolderLayout("flowers102", root, _EXPECTED)
    pictures, key = layout.path(f"{_HOME}/jpg"), _IDS[split]
    numbers = np.atleast_1d(read_mat(layout.path(f"{_HOME}/setid.mat"), key)[key])
    labels = np.atleast_1d(read_mat(layout.path(f"{_HOME}/imagelabels.mat"), "labels")["labels"])
    if numbers.dtype.kind not in "iu" or labels.dtype.kind not in "iu":
        raise layout.wrong("setid.mat and imagelabels.mat must hold whole numbers")
    if not len(numbers) or numbers.min() < 1 or numbers.max() > len(labels):
        raise layout.wrong(f"setid.mat names images of {split} that imagelabels.mat has no label of")
    names = [f"image_{number:05d}" for number in numbers.tolist()]
    items = tuple(
        ImageRecord(name, pictures / f"{name}.jpg", int(labels[number - 1]) - 1) for name, number in zip(names, numbers, strict=True)
    )
    return OnDisk(items, Flowers102.classes, SpatialTransform(preprocess, size), expected=_SIZES[split])
