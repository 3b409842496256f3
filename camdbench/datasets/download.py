"""Fetching a data set, through torchvision and on demand only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import datasets

# The data set -> torchvision's class, and its arguments with {split} for the split.
_CLASSES: dict[str, tuple[str, dict[str, str]]] = {
    "pets": ("OxfordIIITPet", {"split": "{split}"}),
    "voc2012": ("VOCSegmentation", {"year": "2012", "image_set": "{split}"}),
    "sbd": ("SBDataset", {"image_set": "{split}", "mode": "segmentation"}),
    "aircraft": ("FGVCAircraft", {"split": "{split}"}),
    "flowers102": ("Flowers102", {"split": "{split}"}),
}


def fetch(name: str, split: str, root: Path) -> None:
    """Let torchvision fetch a data set into a folder, unless it is there already; the folder is made where it is not.

    Raises:
        UsageError: torchvision cannot fetch it; the message says where it can be had.
        CamdbenchError: the download failed.
    """
    facts = datasets.get(name).facts
    if name not in _CLASSES:
        raise UsageError(
            f"data set {name} cannot be fetched; get it from {facts.source} and give --data-root (see docs/datasets/{name}.md)"
        )
    import torchvision.datasets

    if _is_there(name, split, root):
        return
    called, arguments = _CLASSES[name]
    given: dict[str, Any] = {key: value.format(split=split) for key, value in arguments.items()}
    root.mkdir(parents=True, exist_ok=True)
    try:
        getattr(torchvision.datasets, called)(str(root), download=True, **given)
    except Exception as error:  # network, disk and archives fail in their own words
        raise CamdbenchError(f"data set {name} could not be fetched into {root}: {error}; get it from {facts.source}") from error


def _is_there(name: str, split: str, root: Path) -> bool:
    """Whether the reader finds its layout: torchvision would unpack VOC once more, and stumble over SBD's folders."""
    try:
        datasets.load(name)(root, split=split)
    except UsageError:
        return False
    return True
