"""torch data sets of (image, label), (image, label, objects) or (image, objects); torchvision's ImageFolder and DatasetFolder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset

from camdbench.core.errors import UsageError
from camdbench.core.foreign_code import calling
from camdbench.datasets.own.items import Item, Source, taken
from camdbench.datasets.own.objects import item_of_objects

_KEYS = ("boxes", "masks", "labels")


def torch_source(dataset: TorchDataset[Any], limit: int | None) -> Source:
    """Items of a torch data set. A DatasetFolder has ids from its paths, and is read by camdbench if it has no transform.

    Raises:
        UsageError: it has no length, or an item is not a tuple of image, label and objects.
        CamdbenchError: it raises.
    """
    kind = type(dataset).__name__
    classes = tuple(map(str, getattr(dataset, "classes", ())))
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        rows = [item_of_row(row, kind) for row in taken(iter(dataset), limit, kind)]
        return Source(rows.__getitem__, len(rows), classes=classes)
    with calling(f"dataset {kind}"):
        count = len(dataset)  # pyright: ignore[reportArgumentType]
    count = count if limit is None else min(limit, count)
    samples: Any = getattr(dataset, "samples", None)
    if samples is None or not hasattr(dataset, "root"):
        return Source(_Rows(dataset, kind), count, classes=classes)
    root = Path(getattr(dataset, "root"))  # noqa: B009 - not an attribute of every torch data set
    ids = [Path(path).relative_to(root).as_posix() for path, _ in samples[:count]]
    transforms = (getattr(dataset, name, None) for name in ("transform", "target_transform", "transforms"))
    if any(own is not None for own in transforms):
        return Source(_Rows(dataset, kind), count, ids, classes, name=root.name)
    items = [Item(Path(path), label) for path, label in samples[:count]]
    return Source(items.__getitem__, count, ids, classes, files=True, name=root.name)


@dataclass(frozen=True)
class _Rows:
    dataset: Any
    kind: str

    def __call__(self, index: int) -> Item:
        with calling(f"dataset {self.kind}, item {index}"):
            row = self.dataset[index]
        return item_of_row(row, self.kind)


def item_of_row(row: Any, kind: str) -> Item:
    """An item of a torch data set.

    Raises:
        UsageError: it is not a tuple of image, label and objects.
    """
    if isinstance(row, Mapping) or not isinstance(row, tuple | list) or not 1 <= len(row) <= 3:
        shape = f"{len(row)} parts" if isinstance(row, tuple | list) else type(row).__name__
        raise UsageError(f"dataset {kind}: an item is {shape}; expected (image, label) or (image, label, {{'boxes': …, 'masks': …}})")
    picture, *rest = row
    objects = rest.pop() if rest and isinstance(rest[-1], Mapping) else {}
    if others := [str(key) for key in objects if key not in (*_KEYS, "label", "image_id", "area", "iscrowd")]:
        raise UsageError(f"dataset {kind}: objects have {others[0]!r}; expected {', '.join(_KEYS)} and label")
    if len(rest) > 1:
        raise UsageError(f"dataset {kind}: the third part of an item is {type(rest[1]).__name__}; expected a dict with boxes and masks")
    boxes, masks, categories = (objects.get(key) for key in _KEYS)
    return item_of_objects(picture, rest[0] if rest else objects.get("label"), boxes=boxes, masks=masks, categories=categories)
