"""FunnyBirds: rendered birds of 50 classes with part maps, and versions of each test image without parts or background objects."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.files import check_text
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk, is_file
from camdbench.datasets.preprocess import decode_file, read_picture
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

_EXPECTED = "ROOT/{classes,dataset_train,dataset_test}.json and ROOT/{train,test}{,_part_map}/CLASS/NUMBER.png"
_SIZES = {"train": 50_000, "test": 500}  # 50 classes with 1,000 and 10 images
_COLOURS = {
    "beak": (255, 255, 0),
    "eye01": (255, 255, 253),
    "eye02": (255, 255, 254),
    "foot01": (255, 0, 1),
    "foot02": (255, 0, 2),
    "tail": (0, 0, 255),
    "wing01": (0, 255, 1),
    "wing02": (0, 255, 2),
}
_BACKGROUND = "background_interventions"  # folder of the versions without an object
PART_VALUES = {name: index for index, name in enumerate(_COLOURS, 1)}  # in `Sample.parts`
_VALUES_OF_PARTS = {
    "beak": (1,),
    "eye": (2, 3),
    "foot": (4, 5),
    "tail": (6,),
    "wing": (7, 8),
}
BACKGROUND_OBJECT, _OBJECTS, _GREY = 100, 50, 204  # value of background object 0 in `Sample.parts`, and the red of its colour


@dataset(
    "funnybirds",
    paper="Hesse et al. 2023, arXiv:2308.06248",
    splits=("train", "test"),
    gives=("boxes", "masks"),
    optional=("parts: {split}_interventions",),
    licence="not stated for the data; the code is Apache-2.0",
    source="https://github.com/visinf/funnybirds-framework",
)
def funnybirds(
    root: Path,
    *,
    split: Literal["train", "test"] = "test",
    masks: str = "gt",
    preprocess: Preprocess = "keep",
    size: PositiveInt = 256,
) -> Dataset:
    """FunnyBirds: 50 classes of rendered birds, each a combination of five parts, with the part of each pixel.

    `parts` holds the values of `PART_VALUES` and, from `BACKGROUND_OBJECT`, those of the background objects. The mask is the union
    of the bird's parts, without its body, which has no colour in a part map; the box is the mask's tight box. Test images have
    `interventions` (see `BirdVersions`).

    Args:
        root: folder of `classes.json`, the unpacked `FunnyBirds`.
        split: official split.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol; the official networks take the 256 x 256 pixels as they are, without mean and std.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("funnybirds", root, _EXPECTED)
    birds = tuple(sorted(map(BirdClass.of, _entries(layout.path("classes.json"))), key=lambda bird: bird.index))
    listing = layout.path(f"dataset_{split}.json")
    pictures, maps = layout.path(split), layout.path(f"{split}_part_map")
    labels = [entry.get("class_idx") for entry in _entries(listing)]
    if [bird.index for bird in birds] != list(range(len(birds))) or not all(type(own) is int and 0 <= own < len(birds) for own in labels):
        raise UsageError(f"{listing}: an image has a class_idx that classes.json does not hold, or a class of it has none")
    names = [f"{label}/{number:06d}" for number, label in enumerate(labels)]
    items = tuple(ImageRecord(name, pictures / f"{name}.png", label) for name, label in zip(names, cast("list[int]", labels), strict=True))
    geometry = SpatialTransform(preprocess, size)
    variants = tuple(tuple(variant for _, variant in bird.parts) for bird in birds)
    if odd := [bird.index for bird in birds if tuple(name for name, _ in bird.parts) != tuple(_VALUES_OF_PARTS)]:
        raise UsageError(f"{layout.path('classes.json')}: class {odd[0]} has not the parts {', '.join(_VALUES_OF_PARTS)}")
    annotate = _PartMaps(tuple(maps / f"{name}.png" for name in names), split, geometry, variants)
    called = [f"bird {bird.index}" for bird in birds]
    return with_masks(FunnyBirds(items, called, geometry, annotate, expected=_SIZES[split], birds=birds), masks)


@dataclass(frozen=True)
class BirdClass:
    """A class: its index, and the variant of each part, by the part's name in order."""

    index: int
    parts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> BirdClass:
        """A class from its entry in `classes.json`.

        Raises:
            UsageError: a field is missing or has another type.
        """
        index, parts = entry.get("class_idx"), entry.get("parts")
        if type(index) is not int or not isinstance(parts, dict):
            raise UsageError(f"classes.json: expected class_idx and parts, found {entry}")
        named = cast("dict[str, Any]", parts)
        if not all(type(variant) is int for variant in named.values()):
            raise UsageError(f"classes.json: class {index} has a part that is not numbered")
        return cls(index, tuple(sorted(named.items())))


@dataclass(frozen=True, repr=False)
class FunnyBirds(OnDisk):
    """The data set; `birds` holds the parts of each class."""

    birds: tuple[BirdClass, ...] = ()


@dataclass(frozen=True)
class BirdVersions:
    """Versions of one bird: with some of its parts only, or without one background object; each is read when it is asked for.

    Attributes:
        folder: folder of the versions.
        geometry: preprocessing protocol of the image.
        variants: variant of each part, in the order of the parts' names, of each class.
    """

    folder: Path
    geometry: SpatialTransform
    variants: tuple[tuple[int, ...], ...] = ()

    @property
    def part_values(self) -> Mapping[str, Sequence[int]]:
        """Values of each part in `Sample.parts`, by its name."""
        return _VALUES_OF_PARTS

    @property
    def object_values(self) -> Sequence[int]:
        """Values in `Sample.parts` of the background objects that have a version without them."""
        return [BACKGROUND_OBJECT + number for number in self.object_numbers]

    @property
    def object_numbers(self) -> Sequence[int]:
        """Numbers of these objects, ascending."""
        return sorted(int(name) for at, _, name in (own.rpartition("/") for own in self.names) if at == _BACKGROUND and name.isdecimal())

    @property
    def names(self) -> Sequence[str]:
        """Names of the versions that exist: `body_beak_eye`, …, and `background_interventions/0`, …, sorted."""
        found = (file.relative_to(self.folder).with_suffix("").as_posix() for file in self.folder.rglob("*.png"))
        return sorted(name for name in found if not name.rpartition("/")[2].startswith("."))

    def __call__(self, name: str) -> Tensor:
        """Read one version, (3, H, W) float32 in [0, 1], preprocessed as the image.

        Raises:
            SampleError: there is no such version, or its file cannot be read.
        """
        file = self.folder / f"{name}.png"
        if not is_file(file):
            raise SampleError(f"{self.folder.name}: no version {name!r}; names lists them")
        return self.geometry.fit(read_picture(file, upright=False), Annotations()).image

    def with_parts(self, parts: Collection[str]) -> Tensor:
        """The bird with its body and these of its parts (`beak`, `eye`, `foot`, `tail`, `wing`) only; see `__call__`."""
        return self("body_" + "_".join(sorted(parts)))

    def without_object(self, number: int) -> Tensor:
        """The image without background object `number`; see `__call__`."""
        return self(f"{_BACKGROUND}/{number}")


@dataclass(frozen=True)
class _PartMaps:
    files: tuple[Path, ...]
    split: str
    geometry: SpatialTransform
    variants: tuple[tuple[int, ...], ...]

    def __call__(self, index: int) -> Annotations:
        file = self.files[index]
        parts = decode_file(file, _parts_of)
        mask = (parts > 0) & (parts < BACKGROUND_OBJECT)
        folder = file.parents[2] / f"{self.split}_interventions" / file.parent.name / file.stem
        versions = BirdVersions(folder, self.geometry, self.variants) if folder.is_dir() else None
        return Annotations(boxes=box_of(mask), mask=mask, parts=parts, interventions=versions)


def _parts_of(picture: Image.Image) -> Tensor:
    """Part of each pixel, (H, W) uint8."""
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(np.int64), 2, 0)
    found = np.zeros(red.shape, dtype=np.uint8)
    for name, colour in _COLOURS.items():
        found[(red == colour[0]) & (green == colour[1]) & (blue == colour[2])] = PART_VALUES[name]
    grey = (red == green) & (green == blue) & (red >= _GREY) & (red < _GREY + _OBJECTS)
    found[grey] = BACKGROUND_OBJECT + red[grey] - _GREY
    return torch.from_numpy(found)


def _entries(file: Path) -> list[dict[str, Any]]:
    """The entries of a list in JSON.

    Raises:
        UsageError: the file is not a list of objects in JSON.
    """
    try:
        check_text(file)
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read as JSON ({error})") from None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in cast("list[Any]", content)):
        raise UsageError(f"{file}: expected a list of objects")
    return cast("list[dict[str, Any]]", content)
