"""Kvasir: eight classes of endoscopic images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt

from camdbench.core.option_types import Preprocess
from camdbench.core.registries import dataset
from camdbench.datasets.class_folders import items_in
from camdbench.datasets.folder_layout import FolderLayout
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.samples import Dataset
from camdbench.datasets.transforms import SpatialTransform
from camdbench.functional.seeding import generator_for

_CLASSES = (
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "esophagitis",
    "normal-cecum",
    "normal-pylorus",
    "normal-z-line",
    "polyps",
    "ulcerative-colitis",
)
_EXPECTED = "ROOT/CLASS/*.jpg with the classes " + ", ".join(_CLASSES)
_SIZES = {"train": 6000, "val": 1000, "test": 1000}  # Opti-CAM, appendix E.1
_EIGHTHS = {"train": (0, 6), "val": (6, 7), "test": (7, 8)}  # of each class


@dataset(
    "kvasir",
    paper="Pogorelov et al. 2017, MMSys; split sizes of Opti-CAM, appendix E.1",
    splits=("train", "val", "test"),
    licence="research and education; commerce on request",
    source="https://datasets.simula.no/kvasir",
)
def kvasir(
    root: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    seed: NonNegativeInt = 0,
    preprocess: Preprocess = "resize256_crop224",
    size: PositiveInt = 224,
) -> Dataset:
    """Kvasir, version 2: 1,000 images of each of eight landmarks and pathologies; labels only.

    Opti-CAM has splits of 6,000, 1,000 and 1,000 images and does not publish them; here each class is shuffled by seed and
    id, and split into six, one and one eighths.

    Args:
        root: folder of the eight class folders (`kvasir-dataset-v2` of the official archive).
        split: `train`, `val` or `test`.
        seed: seed of the split.
        preprocess: preprocessing protocol.
        size: side of the input in pixels.

    Raises:
        UsageError: another layout; the message states the expected and the found files.
    """
    layout = FolderLayout("kvasir", root, _EXPECTED)
    for name in _CLASSES:
        layout.path(name)
    found = items_in(root, {name: index for index, name in enumerate(_CLASSES)}, layout)
    chosen = {item.id for label in range(len(_CLASSES)) for item in _part([item for item in found if item.label == label], split, seed)}
    items = tuple(item for item in found if item.id in chosen)
    return OnDisk(items, _CLASSES, SpatialTransform(preprocess, size), expected=_SIZES[split])


def _part(items: list[ImageRecord], split: str, seed: int) -> Iterator[ImageRecord]:
    """The images of one class in a split."""
    order = sorted(
        items, key=lambda item: float(torch.rand(1, dtype=torch.float64, generator=generator_for(seed, item.id, "kvasir split")))
    )
    first, last = _EIGHTHS[split]
    yield from order[len(order) * first // 8 : len(order) * last // 8]
