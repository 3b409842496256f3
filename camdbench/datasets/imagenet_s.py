"""ImageNet-S: ImageNet images with semantic segmentations of 919, 300 or 50 classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import items_in
from camdbench.datasets.folder_layout import FolderLayout, folders_in
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.preprocess import decode_file
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

_FOLDERS = {"val": "validation", "train-semi": "train-semi"}
_EXPECTED = (
    "ROOT/ImageNetS{919,300,50}/{validation,train-semi}/WNID/*.JPEG and "
    "ROOT/ImageNetS{919,300,50}/{validation,train-semi}-segmentation/WNID/*.png"
)
_SIZES = {
    "val": {919: 12_419, 300: 4_097, 50: 752},  # LUSSeg/ImageNet-S, README
    "train-semi": {919: 9_190, 300: 3_000, 50: 500},  # 10 images per class
}
_IGNORED = 1000  # in a segmentation; 0 is any other object


@dataset(
    "imagenet_s",
    paper="Gao et al. 2022, arXiv:2106.03149",
    splits=("val", "train-semi"),
    gives=("boxes", "masks"),
    licence="not stated for the segmentations; the pictures are ImageNet's, for research and education without commerce",
    source="https://github.com/LUSSeg/ImageNet-S",
)
def imagenet_s(
    root: Path,
    *,
    split: Literal["val", "train-semi"] = "val",
    subset: Literal[919, 300, 50] = 919,
    labels: Literal["imagenet", "subset"] = "imagenet",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """ImageNet-S: images of ImageNet with pixel-accurate masks of their class; the box is the mask's tight box.

    A segmentation holds R + 256 G per pixel: 0 for other objects, 1000 for ignored pixels (void), else the rank of a class, from 1,
    among the sorted class folders. The mask is that of the folder's class. Masks of the official test split are not published.

    Args:
        root: folder of `ImageNetS919/`, `ImageNetS300/` or `ImageNetS50/`.
        split: `val` (`validation`), or `train-semi`, 10 training images per class.
        subset: number of classes.
        labels: `imagenet`: ImageNet's class indices; `subset`: ranks among the classes of the subset, from 0.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout, home = FolderLayout("imagenet_s", root, _EXPECTED), f"ImageNetS{subset}/{_FOLDERS[split]}"
    pictures, maps = layout.path(home), layout.path(f"{home}-segmentation")
    wnids = sorted(folder.name for folder in folders_in(pictures))
    if len(wnids) != subset:
        raise layout.wrong(f"{home} has {len(wnids)} class folders, not {subset}, by whose order the segmentations number the classes")
    positions = imagenet_positions()
    if strangers := [wnid for wnid in wnids if wnid not in positions]:
        raise layout.wrong(f"the folder {strangers[0]!r} in {home} is not a class of ImageNet")
    ranks = {wnid: rank for rank, wnid in enumerate(wnids)}
    items = items_in(pictures, positions if labels == "imagenet" else ranks, layout)
    files = tuple((maps / item.id).with_suffix(".png") for item in items)
    annotate = _Segmentations(files, tuple(ranks[item.file.parent.name] + 1 for item in items))
    names = [item.name for item in imagenet_classes() if labels == "imagenet" or item.wnid in ranks]
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split][subset]), masks)


@dataclass(frozen=True)
class _Segmentations:
    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    def __call__(self, index: int) -> Annotations:
        classes = decode_file(self.files[index], _numbers_of)
        mask, void = classes == self.numbers[index], classes == _IGNORED
        return Annotations(boxes=box_of(mask), mask=mask, void=void if void.any() else None)


def _numbers_of(picture: Image.Image) -> Tensor:
    """Class numbers (H, W) int64 of a segmentation in colours.

    Raises:
        ValueError: it has no colours.
    """
    if picture.mode not in ("RGB", "RGBA"):
        raise ValueError(f"its mode is {picture.mode}; expected RGB, which holds R + 256 G")
    values = torch.from_numpy(np.asarray(picture).astype(np.int64))
    return values[..., 0] + 256 * values[..., 1]
