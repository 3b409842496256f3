"""Hard ImageNet: 15 classes of ImageNet with strong spurious cues, with masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.folder_layout import FolderLayout, pictures_under
from camdbench.datasets.mask_values import read_mask
from camdbench.datasets.masks import with_masks
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import Annotations, SpatialTransform, box_of

_EXPECTED = "ROOT/hardImageNet/{val,train}/WNID_NAME.JPEG (the masks) and ImageNet's own ROOT/{val,train}/WNID/NAME.JPEG"
WNIDS = (
    "n02492660",  # howler monkey
    "n02777292",  # balance beam
    "n02807133",  # bathing cap
    "n03218198",  # dogsled
    "n03535780",  # horizontal bar
    "n03770439",  # miniskirt
    "n03899768",  # patio
    "n04019541",  # puck
    "n04162706",  # seat belt
    "n04228054",  # ski
    "n04251144",  # snorkel
    "n04264628",  # space bar
    "n04356056",  # sunglasses
    "n04540053",  # volleyball
    "n09835506",  # ballplayer
)


@dataset(
    "hard_imagenet",
    paper="Moayeri et al. 2022, NeurIPS Datasets and Benchmarks",
    splits=("val", "train"),
    gives=("boxes", "masks"),
    licence="masks CC0; the pictures are ImageNet's, for research and education without commerce",
    source="https://mmoayeri.github.io/HardImageNet",
)
def hard_imagenet(
    root: Path,
    *,
    split: Literal["val", "train"] = "val",
    labels: Literal["hard", "imagenet"] = "hard",
    above: NonNegativeInt = 0,
    masks: str = "gt",
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Hard ImageNet: 15 classes of small objects beside strong spurious cues, with masks.

    The official `meta/*.pkl` are pickles and are not read; the classes are in ImageNet's order. The box is the mask's tight box.

    Args:
        root: folder of the masks in `hardImageNet/` and of ImageNet's images in folders by WordNet identifier.
        split: ImageNet's `val` or `train`.
        labels: `hard`: class indices 0 to 14, for networks fine-tuned on them; `imagenet`: ImageNet's indices.
        above: mask values above this are object; 0 in the official code.
        masks: `gt`, `bbox` (filled tight box of the mask) or a folder of masks ID.png.
        preprocess: preprocessing protocol; CFCE uses `resize224_distort`.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("hard_imagenet", root, _EXPECTED)
    pictures, found = layout.path(split), pictures_under(layout.path(f"hardImageNet/{split}"))
    if not found:
        raise layout.wrong(f"no masks in hardImageNet/{split}")
    if others := [file.name for file in found if file.name.partition("_")[0] not in WNIDS]:
        raise layout.wrong(f"the mask {others[0]} belongs to none of the 15 classes")
    positions = imagenet_positions() if labels == "imagenet" else {wnid: index for index, wnid in enumerate(WNIDS)}
    parts = [file.name.partition("_") for file in found]
    items = tuple(ImageRecord(f"{wnid}/{name}", pictures / wnid / name, positions[wnid]) for wnid, _, name in parts)
    names = [item.name for item in imagenet_classes() if labels == "imagenet" or item.wnid in WNIDS]
    data = OnDisk(items, names, SpatialTransform(preprocess, size), _Masks(tuple(found), above), expected=750 if split == "val" else None)
    return with_masks(data, masks)


@dataclass(frozen=True)
class _Masks:
    files: tuple[Path, ...]
    above: int

    def __call__(self, index: int) -> Annotations:
        mask = read_mask(self.files[index], self.above)
        return Annotations(boxes=box_of(mask), mask=mask)
