"""ImageNet (ILSVRC 2012): validation or training images with the boxes of their class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import items_in
from camdbench.datasets.folder_layout import FolderLayout, numbers, read_table
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import Annotate, ImageRecord, OnDisk, no_annotations
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform
from camdbench.datasets.voc_xml import BoxesByImage, BoxesFromXML

_EXPECTED = "ROOT/val/WNID/*.JPEG, and for boxes ROOT/Annotations/CLS-LOC/val/*.xml or ROOT/LOC_val_solution.csv"
_SIZES = {"val": 50_000, "train": 1_281_167}


@dataset(
    "imagenet",
    paper="Russakovsky et al. 2015, arXiv:1409.0575",
    splits=("val", "train"),
    optional=("boxes: Annotations/CLS-LOC/{split}", "boxes: LOC_{split}_solution.csv"),
    licence="research and education without commerce, on registration",
    source="https://image-net.org/challenges/LSVRC/2012",
)
def imagenet(
    root: Path,
    *,
    split: Literal["val", "train"] = "val",
    box_ends: Literal["inclusive", "exclusive"] = "inclusive",
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """ImageNet (ILSVRC 2012) in folders by WordNet identifier, torchvision's layout.

    Boxes of the image's class come from the official XML files, else from `LOC_val_solution.csv` with the columns
    `ImageId,PredictionString` (`WNID x0 y0 x1 y1 …`).

    Args:
        root: folder of `val/`, and of `Annotations/CLS-LOC/val/` or `LOC_val_solution.csv`.
        split: `val`, or `train` in the same layout, where only some images have boxes.
        box_ends: `inclusive`: xmax is the last pixel of a box; else the pixel after it. Edges count from 0. Protocols of released
            codes (`ch(protocol="release")`, `maxboxacc(protocol="clovaai")`) read the file's numbers, whatever this says.
        masks: `gt` (none), `bbox` (filled boxes) or a folder of masks ID.png.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("imagenet", root, _EXPECTED.replace("val", split))
    home = layout.path(split)
    if [path for path in home.iterdir() if path.suffix == ".JPEG"]:
        raise layout.wrong(f"images are directly in {split}/, not in folders by WordNet identifier")
    items = tuple(ImageRecord(item.file.stem, item.file, item.label) for item in items_in(home, imagenet_positions(), layout))
    annotate = _boxes(root, split, items, inclusive=box_ends == "inclusive")
    names = [item.name for item in imagenet_classes()]
    return with_masks(OnDisk(items, names, SpatialTransform(preprocess, size), annotate, expected=_SIZES[split]), masks)


def _boxes(root: Path, split: str, items: tuple[ImageRecord, ...], *, inclusive: bool) -> Annotate:
    folder, listing = root / "Annotations" / "CLS-LOC" / split, root / f"LOC_{split}_solution.csv"
    wnids = tuple(imagenet_classes()[item.label].wnid for item in items)
    if folder.is_dir():
        homes = [folder / wnid if split == "train" else folder for wnid in wnids]
        files = tuple(home / f"{item.id}.xml" for home, item in zip(homes, items, strict=True))
        return BoxesFromXML(files, wnids, first=0, inclusive=inclusive, required=False)
    if listing.is_file():
        listed = _listed(listing)
        boxes = [tuple(box for wnid, box in listed.get(item.id, ()) if wnid == own) for item, own in zip(items, wnids, strict=True)]
        return BoxesByImage(tuple(boxes), first=0, inclusive=inclusive)
    return no_annotations


def _listed(file: Path) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """Class and box of every object, by image."""
    found: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for row in read_table(file, "ImageId,PredictionString"):
        words = row["PredictionString"].split()
        if len(words) % 5:
            raise UsageError(f"{file}: the boxes of {row['ImageId']} are not groups of WNID x0 y0 x1 y1")
        for start in range(0, len(words), 5):
            x0, y0, x1, y1 = numbers(words[start + 1 : start + 5], file)
            found.setdefault(row["ImageId"], []).append((words[start], (x0, y0, x1, y1)))
    return found
