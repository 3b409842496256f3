"""ImageNet-9: nine groups of ImageNet classes with foreground and background of different images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.files import check_text
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import items_in
from camdbench.datasets.folder_layout import FolderLayout, folders_in
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import Annotate, ImageRecord, OnDisk, no_annotations
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform

_EXPECTED = "ROOT/VARIANT/val/CLASS/*.JPEG with nine folders CLASS named 00_… to 08_…; VARIANT is original, mixed_same, mixed_rand, …"
_GROUPS, _CLASSES = 9, 1000
_SHIFTS = {"original": 0, "mixed_same": 0, "mixed_next": 1}  # class of the background, relative to the foreground's
_RANDOM = -1
_GAP = ("mixed_same", "mixed_rand")


@dataset(
    "imagenet9",
    paper="Xiao et al. 2020, arXiv:2006.09994, table 1",
    splits=("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t", "gap"),
    gives=("backgrounds",),
    licence="not stated; the pictures are ImageNet's, for research and education without commerce",
    source="https://github.com/MadryLab/backgrounds_challenge/releases",
)
def imagenet9(
    root: Path,
    *,
    split: Literal["original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t", "gap"] = "original",
    masks: str = "gt",
    preprocess: Preprocess = "resize224_distort",
    size: PositiveInt = 224,
) -> Dataset:
    """ImageNet-9: nine classes whose images are `split` in foreground and background; labels only.

    The label is the class of the foreground, or of the removed foreground. `background` is the class of the background where the
    variant states it: of the same class in `original` and `mixed_same`, of the next class in `mixed_next`, -1 (random) in `mixed_rand`.
    The split `gap` holds the images of `mixed_same` and then those of `mixed_rand`, for the metric `background_gap`.

    Args:
        root: folder of the variants, `bg_challenge` of the release.
        split: variant of the images.
        masks: `gt` (none), or a folder of masks ID.png.
        preprocess: preprocessing protocol; the images have 224 x 224 pixels.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("imagenet9", root, _EXPECTED)
    listed = [(variant, *_listed(layout, variant)) for variant in (_GAP if split == "gap" else (split,))]
    items = tuple(item._replace(id=f"{variant}/{item.id}") if split == "gap" else item for variant, own, _ in listed for item in own)
    backgrounds = tuple(_background(variant, item.label) for variant, own, _ in listed for item in own)
    known: Annotate = no_annotations if None in backgrounds else _Backgrounds(cast("tuple[int, ...]", backgrounds))
    return with_masks(OnDisk(items, listed[0][2], SpatialTransform(preprocess, size), known), masks)


def _listed(layout: FolderLayout, variant: str) -> tuple[tuple[ImageRecord, ...], list[str]]:
    """Images and class names of a variant."""
    home = layout.path(f"{variant}/val")
    folders = [folder.name for folder in folders_in(home)]
    if [name.partition("_")[0] for name in sorted(folders)] != [f"{index:02d}" for index in range(_GROUPS)]:
        raise layout.wrong(f"{variant}/val has the folders {', '.join(folders) or 'none'}")
    items = items_in(home, {name: int(name.partition("_")[0]) for name in folders}, layout)
    return tuple(items), [name.partition("_")[2].replace("_", " ") for name in sorted(folders)]


def _background(variant: str, label: int) -> int | None:
    """Class of the background of an image of a variant; None if the variant does not state it."""
    return _RANDOM if variant == "mixed_rand" else (label + _SHIFTS[variant]) % _GROUPS if variant in _SHIFTS else None


def groups_of_imagenet(file: str | Path) -> tuple[int, ...]:
    """Class of ImageNet-9 of each of ImageNet's 1,000 classes, -1 for classes outside it, from the release's `in_to_in9.json`.

    A prediction of a network with 1,000 classes is right if its group is the label; one outside the groups is wrong.

    Raises:
        UsageError: the file is not JSON, or does not name a group from -1 to 8 for each class.
    """
    file = Path(file)
    try:
        check_text(file)
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read as JSON ({error})") from None
    named = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    found = tuple(named.get(str(index)) for index in range(_CLASSES))
    if not all(type(group) is int and -1 <= group < _GROUPS for group in found):
        raise UsageError(f"{file}: expected a group from -1 to {_GROUPS - 1} for each class from 0 to {_CLASSES - 1}")
    return cast("tuple[int, ...]", found)


@dataclass(frozen=True)
class _Backgrounds:
    classes: tuple[int, ...]

    def __call__(self, index: int) -> Annotations:
        return Annotations(background=self.classes[index])
