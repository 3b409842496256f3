"""Sources of masks: the data set, tight boxes, or a folder of files, such as those of Segment Anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.datasets.folder_layout import PICTURES
from camdbench.datasets.mask_values import read_mask
from camdbench.datasets.on_disk import Annotate, OnDisk, is_file
from camdbench.datasets.transforms import Annotations


def with_masks(data: OnDisk, source: str) -> OnDisk:
    """The data set with masks from `gt` (its own), `bbox` (filled tight boxes) or a folder of files ID.png.

    Nonzero values of a file are object; its size is that of the image file. Boxes are unchanged.

    Raises:
        UsageError: the folder or the file of an image does not exist.
    """
    if source == "gt":
        return data
    if source == "bbox":
        return replace(data, masks="bbox")
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError(f"masks={source!r}: expected gt, bbox or a folder of masks ID.png")
    files = tuple(mask_file(folder, name) for name in data.ids)
    missing = [file for file in files if not is_file(file)]
    if missing:
        raise UsageError(f"masks={source!r}: {len(missing)} of {len(files)} masks are missing, first {missing[0]}; add one for each image")
    return replace(data, annotate=_FromFiles(data.annotate, files))


def mask_file(folder: Path, image: str) -> Path:
    """Path of the mask of an image in a folder of masks.

    >>> mask_file(Path("masks"), "n01440764/a.b.JPEG").as_posix()
    'masks/n01440764/a.b.png'
    """
    path = folder / image
    return path.with_suffix(".png") if path.suffix.lower() in PICTURES else path.with_name(f"{path.name}.png")


@dataclass(frozen=True)
class _FromFiles:
    own: Annotate
    files: tuple[Path, ...]

    def __call__(self, index: int) -> Annotations:
        return replace(self.own(index), mask=read_mask(self.files[index]))
