"""Stanford Cars: 196 car models, one box per image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, integer, numbers, read_mat
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform
from camdbench.datasets.voc_xml import BoxesByImage

_HOME = "stanford_cars"
_EXPECTED = (
    f"ROOT/{_HOME}/devkit/cars_meta.mat, ROOT/{_HOME}/devkit/cars_train_annos.mat with ROOT/{_HOME}/cars_train/*.jpg, "
    f"ROOT/{_HOME}/cars_test_annos_withlabels.mat with ROOT/{_HOME}/cars_test/*.jpg"
)
_SIZES = {"train": 8144, "test": 8041}
_ANNOTATIONS = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
_EDGES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


@dataset(
    "cars",
    paper="Krause et al. 2013, ICCV workshop 3dRR",
    splits=("train", "test"),
    gives=("boxes",),
    licence="research without commerce, as ImageNet",
    source="the original page is gone; copies are on Kaggle and the Hugging Face hub",
)
def cars(
    root: Path,
    *,
    split: Literal["train", "test"] = "test",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Stanford Cars: 196 car models, one box per image, in torchvision's layout.

    Box coordinates count from 1 and include both ends.

    Args:
        root: folder of `stanford_cars/`.
        split: official `train` or `test`.
        masks: `gt` (none), `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("cars", root, _EXPECTED)
    pictures = layout.path(f"{_HOME}/cars_{split}")
    listing, meta = layout.path(f"{_HOME}/{_ANNOTATIONS[split]}"), layout.path(f"{_HOME}/devkit/cars_meta.mat")
    names = [str(name) for name in np.ravel(read_mat(meta, "class_names")["class_names"])]
    held: Any = read_mat(listing, "annotations")["annotations"]
    rows: list[Any] = [held] if isinstance(held, dict) else np.ravel(held).tolist()
    if lacking := [key for key in (*_EDGES, "class", "fname") if any(not isinstance(row, dict) or key not in row for row in rows)]:
        raise layout.wrong(f"{listing.name} has no {lacking[0]}")
    try:
        items = tuple(
            ImageRecord(Path(row["fname"]).stem, pictures / row["fname"], integer(str(row["class"]), listing) - 1) for row in rows
        )
        edges = [numbers([str(row[key]) for key in _EDGES], listing) for row in rows]
    except (TypeError, ValueError) as error:
        raise layout.wrong(f"{listing.name} has an entry with an invalid box, class or fname ({error})") from None
    annotate = BoxesByImage(tuple((tuple(box),) for box in edges), first=1, inclusive=True)
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)
