"""Download of data sets through torchvision, on request only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import datasets
from camdbench.core.written_files import DISK_FIXES, make_folder, unwritable

# The data set -> torchvision's class, and its arguments with {split} for the split.
_CLASSES: dict[str, tuple[str, dict[str, str]]] = {
    "pets": ("OxfordIIITPet", {"split": "{split}"}),
    "voc2012": ("VOCSegmentation", {"year": "2012", "image_set": "{split}"}),
    "sbd": ("SBDataset", {"image_set": "{split}", "mode": "segmentation"}),
    "aircraft": ("FGVCAircraft", {"split": "{split}"}),
    "flowers102": ("Flowers102", {"split": "{split}"}),
}


def fetch(name: str, split: str, root: Path) -> None:
    """Download a data set into a folder through torchvision, unless it exists; creates the folder if missing.

    Raises:
        UsageError: torchvision cannot download this data set.
        CamdbenchError: the download failed, or the disk is full.
    """
    facts = datasets.get(name).facts
    if name not in _CLASSES:
        raise UsageError(
            f"data set {name} cannot be downloaded; get it from {facts.source} and set --data-root (see docs/datasets/{name}.md)"
        )
    import torchvision.datasets

    if _is_there(name, split, root):
        return
    called, arguments = _CLASSES[name]
    given: dict[str, Any] = {key: value.format(split=split) for key, value in arguments.items()}
    make_folder(root, "--data-root")
    try:
        getattr(torchvision.datasets, called)(str(root), download=True, **given)
    except Exception as error:  # network, disk and archives raise many types
        if isinstance(error, OSError) and error.errno in DISK_FIXES:
            raise unwritable(root, error, resumes=True) from error
        raise CamdbenchError(f"data set {name}: download to {root} failed: {error}; get it from {facts.source}") from error


def _is_there(name: str, split: str, root: Path) -> bool:
    """Whether the reader finds its layout; torchvision would unpack VOC again and fail on SBD's existing folders."""
    try:
        datasets.load(name)(root, split=split)
    except UsageError:
        return False
    return True
