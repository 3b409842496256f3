"""Lists of pictures, of (picture, label) pairs, and (images, labels)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.own.items import Item, Source


def sequence_source(given: Any, limit: int | None) -> Source:
    """Items of a list of pictures or pairs, of an array or tensor of images, or of (images, labels).

    Ids of files are their paths from the folder that holds them all; other pictures have their position.

    Raises:
        UsageError: it is empty, or pictures and pairs are mixed.
    """
    if isinstance(given, tuple) and len(given) == 2 and _are_labels(given[1], given[0]):
        pictures, labels = list(given[0]), list(given[1])
        if len(pictures) != len(labels):
            raise UsageError(f"dataset: {len(labels)} labels for {len(pictures)} images; give one for each")
        items = [Item(*pair) for pair in zip(pictures, labels, strict=True)]
    else:
        pairs = [isinstance(one, tuple | list) and len(one) == 2 and _is_label(one[1]) for one in given]
        if any(pairs) and not all(pairs):
            raise UsageError(f"dataset: item {pairs.index(False)} is not a (picture, label) pair as others are; give each a label or none")
        items = [Item(*one) if pair else Item(one) for one, pair in zip(given, pairs, strict=True)]
    items = items[:limit]
    files = bool(items) and all(isinstance(item.picture, str | Path) for item in items)
    return Source(items.__getitem__, len(items), ids_of([Path(item.picture) for item in items]) if files else None, files=files)


def ids_of(files: Sequence[Path]) -> list[str]:
    """Paths from the deepest folder that holds all files.

    >>> ids_of([Path("photos/cat/1.png"), Path("photos/dog/1.png")])
    ['cat/1.png', 'dog/1.png']
    """
    whole = [file.absolute() for file in files]
    home = os.path.commonpath([file.parent for file in whole])
    return [file.relative_to(home).as_posix() for file in whole]


def _is_label(given: Any) -> bool:
    return given is None or isinstance(given, str | int | np.integer) or (isinstance(given, Tensor | np.ndarray) and given.ndim == 0)


def _are_labels(given: Any, images: Any) -> bool:
    """Whether the second of two parts holds a label for each of the first, and not a picture."""
    if isinstance(given, Tensor | np.ndarray):
        return given.ndim == 1
    whole = isinstance(images, Tensor | np.ndarray | list | tuple)
    return isinstance(given, list | tuple) and whole and all(map(_is_label, given))
