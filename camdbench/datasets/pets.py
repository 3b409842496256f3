"""Oxford-IIIT Pet: 37 breeds, or cats and dogs, with masks from trimaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, integer, read_columns
from camdbench.datasets.mask_values import read_values
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

_HOME = "oxford-iiit-pet"
_EXPECTED = f"ROOT/{_HOME}/images/*.jpg, ROOT/{_HOME}/annotations/{{trainval,test}}.txt and ROOT/{_HOME}/annotations/trimaps/*.png"
_SIZES = {"trainval": 3680, "test": 3669}


@dataset(
    "pets",
    paper="Parkhi et al. 2012, CVPR",
    splits=("trainval", "test"),
    gives=("boxes", "masks"),
    licence="CC BY-SA 4.0",
    source="https://www.robots.ox.ac.uk/~vgg/data/pets",
    download=True,
)
def pets(
    root: Path,
    *,
    split: Literal["trainval", "test"] = "test",
    classes: Literal["breeds", "binary"] = "breeds",
    core: Literal["1", "2", "3", "12", "13", "23", "123"] = "1",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Oxford-IIIT Pet: cats and dogs of 37 breeds with masks from trimaps, in torchvision's layout.

    The box is the mask's tight box; the official boxes enclose heads and exist for some images only. Classes and their order
    are torchvision's.

    Args:
        root: folder of `oxford-iiit-pet/`.
        split: official `trainval` or `test`; the split of CFCE's release is not published.
        classes: 37 `breeds`, or `binary`: 0 cat, 1 dog.
        core: trimap values of the object: 1 animal, 2 background, 3 border. CFCE uses `1`, SO-Loss's release `13`.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("pets", root, _EXPECTED)
    pictures, trimaps = layout.path(f"{_HOME}/images"), layout.path(f"{_HOME}/annotations/trimaps")
    listing = layout.path(f"{_HOME}/annotations/{split}.txt")
    rows = [
        (name, integer(breed, listing) - 1, integer(kind, listing) - 1)
        for name, breed, kind, _ in read_columns(listing, "IMAGE BREED KIND NUMBER")
    ]
    if wrong := [name for name, breed, kind in rows if breed < 0 or kind not in (0, 1)]:
        raise layout.wrong(f"{listing.name}: {wrong[0]} has a breed below 1 or a kind other than 1 (cat) and 2 (dog)")
    items = tuple(ImageRecord(name, pictures / f"{name}.jpg", kind if classes == "binary" else breed) for name, breed, kind in rows)
    annotate = _Trimaps(tuple(trimaps / f"{name}.png" for name, _, _ in rows), tuple(int(value) for value in core))
    names = ["Cat", "Dog"] if classes == "binary" else _breeds(rows)
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)


def _breeds(rows: list[tuple[str, int, int]]) -> list[str]:
    """Names of the breeds by index, from file names such as `great_pyrenees_12`."""
    names = {breed: name.rpartition("_")[0].replace("_", " ").title() for name, breed, _ in rows}
    return [names.get(breed, f"breed {breed + 1}") for breed in range(max(names, default=-1) + 1)]


@dataclass(frozen=True)
class _Trimaps:
    files: tuple[Path, ...]
    core: tuple[int, ...]

    def __call__(self, index: int) -> Annotations:
        mask = torch.from_numpy(np.isin(read_values(self.files[index]), self.core))
        return Annotations(boxes=box_of(mask), mask=mask)
