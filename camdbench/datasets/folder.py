"""User data in class folders, optionally with masks and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import check_order, records_in
from camdbench.datasets.folder_annotations import folder_masks, listed_boxes
from camdbench.datasets.folder_layout import folders_in, read_lines
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import OnDisk, no_annotations
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform

_SPLITS = {"dev", "test", "testing", "train", "training", "val", "valid", "validation"}
_LAYOUT = (
    "expected ROOT/images/CLASS/*.jpg (or ROOT/CLASS/*.jpg), "
    "and ROOT/classes.txt with one line `CLASS name` per class in the network's order (see docs/datasets/folder.md)"
)


@dataset(
    "folder",
    paper="your own pictures",
    splits=(),
    optional=("masks: masks", "boxes: masks", "boxes: boxes.csv"),
    licence="your own",
)
def folder(
    root: Path,
    *,
    classes: Literal["folders", "imagenet"] = "folders",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """User images in class folders: ROOT/images/CLASS/*.jpg or ROOT/CLASS/*.jpg, and ROOT/classes.txt.

    `classes.txt` has one line per class of the network, in its order: folder name, then class name. It may list classes
    without a folder. Without it the folders, sorted by name, are the classes; numbers
    whose order as text is another than by number need it.

    Optional beside `images/`: `masks/CLASS/*.png`, one per image under its name, and `boxes.csv` with the columns
    `image,x0,y0,x1,y1`: path relative to `images/`, pixels from 0, ends exclusive. Images are rotated by their EXIF tag;
    masks and boxes refer to the rotated image.

    Args:
        root: the folder.
        classes: `imagenet`: folders are WordNet identifiers, without `classes.txt`.
        masks: `gt` (`masks/`), `bbox` (filled tight boxes of the masks, or the boxes) or another folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected files.
    """
    if not root.is_dir():
        raise UsageError(f"--data-root {root}: no such folder")
    home = root / "images" if (root / "images").is_dir() else root
    if home == root and (root / "masks").is_dir():
        raise UsageError(f"--data-root {root} has masks/ but no images/: put the class folders into ROOT/images; {_LAYOUT}")
    folders = folders_in(home)
    _check_level(root, home, [path.name for path in folders])
    order, names = _classes(root / "classes.txt", [path.name for path in folders], classes)
    items = records_in(folders, order)
    if not items:
        raise UsageError(f"--data-root {root}: no images in class folders; {_LAYOUT}")
    known = folder_masks(root / "masks", items) if (root / "masks").is_dir() else no_annotations
    if (root / "boxes.csv").is_file():
        known = listed_boxes(root / "boxes.csv", items, known)
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), known, upright=True), masks)


def _check_level(root: Path, home: Path, folders: list[str]) -> None:
    """Raise UsageError for a folder of data sets or splits, or one whose annotations are in its parent folder."""
    if home == root and (wholes := [name for name in folders if (root / name / "images").is_dir()]):
        raise UsageError(f"--data-root {root}: {wholes[0]}/ holds images/, not a class; use --data-root {root / wholes[0]}; {_LAYOUT}")
    above = root.absolute().parent
    beside = [name for name in ("classes.txt", "boxes.csv", "masks") if (above / name).exists()] if root.absolute().name == "images" else []
    if home == root and beside:
        raise UsageError(f"--data-root {root}: {beside[0]} is beside images/ and would not be read; use --data-root {above}; {_LAYOUT}")
    if folders and _SPLITS.issuperset(name.lower() for name in folders):
        raise UsageError(
            f"--data-root {root}: {', '.join(folders)} are splits, not classes; use --data-root {home / folders[0]}; {_LAYOUT}"
        )


def _classes(listing: Path, folders: list[str], kind: str) -> tuple[dict[str, int], Sequence[str]]:
    """The class index of each folder, and the names of all classes."""
    if kind == "imagenet":
        lines = [[item.wnid, item.name] for item in imagenet_classes()]
        if listing.is_file():
            raise UsageError(f"classes='imagenet': {listing} defines the classes too; remove one of them")
    elif not listing.is_file():
        check_order(folders, f"--data-root {listing.parent}", "list the folders in ROOT/classes.txt, one line each, in the network's order")
        return {name: index for index, name in enumerate(folders)}, folders
    else:
        lines = _read_listing(listing)
    order = {parts[0]: index for index, parts in enumerate(lines)}
    if len(order) != len(lines):
        twice = next(parts[0] for index, parts in enumerate(lines) if order[parts[0]] != index)
        raise UsageError(f"{listing}: class {twice!r} is listed twice; remove one line")
    if unlisted := [name for name in folders if name not in order]:
        raise UsageError(f"{listing}: does not list the folder {unlisted[0]!r}; {_LAYOUT}")
    return order, [parts[-1].strip() for parts in lines]


def _read_listing(listing: Path) -> list[list[str]]:
    return [line.split(maxsplit=1) for line in read_lines(listing)]
