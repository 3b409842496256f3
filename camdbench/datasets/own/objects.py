"""Images with several annotated objects: the label, and the boxes and mask of the objects of its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.containers import to_tensor
from camdbench.datasets.in_memory import check_boxes
from camdbench.datasets.own.items import Item
from camdbench.datasets.samples import object_pixels


def item_of_objects(picture: Any, label: Any, *, boxes: Any = None, masks: Any = None, categories: Any = None) -> Item:
    """An item from annotated objects.

    Args:
        picture: the picture.
        label: its class; None: the class with the largest annotated area, of masks or else of boxes.
        boxes: (n, 4) xyxy, ends exclusive.
        masks: (n, H, W), or (H, W) for one mask of the image.
        categories: class of each object; only objects of the label's class are kept. None: all objects are of that class.

    Raises:
        UsageError: numbers of objects differ, or a shape is wrong.
    """
    own = None if boxes is None else check_boxes(boxes)
    planes = None if masks is None else _planes(masks)
    if categories is None:
        return Item(picture, label, own, None if planes is None else planes.any(0))
    names = categories.tolist() if hasattr(categories, "tolist") else list(categories)
    for what, found in (("boxes", own), ("masks", planes)):
        if found is not None and len(found) != len(names):
            raise UsageError(f"{len(names)} labels for {len(found)} {what}; give one for each object")
    if label is None and names:
        label = largest(names, _areas(own, planes, len(names)))
    kept = torch.tensor([name == label for name in names], dtype=torch.bool)
    mask = None if planes is None else planes[kept].any(0)
    return Item(picture, label, None if own is None else own[kept], mask, tuple(dict.fromkeys(names)))


def largest(names: Sequence[Any], areas: Sequence[float]) -> Any:
    """The class with the largest total area, the first of equals.

    >>> largest(["cat", "dog", "cat"], [3.0, 5.0, 3.0])
    'cat'
    """
    total = dict[Any, float]()
    for name, area in zip(names, areas, strict=True):
        total[name] = total.get(name, 0.0) + area
    return max(total, key=lambda name: total[name])


def _planes(masks: Any) -> Tensor:
    """Masks (n, H, W) bool."""
    planes = object_pixels(to_tensor(masks, "masks")).as_subclass(Tensor)
    if planes.ndim not in (2, 3):
        raise UsageError(f"masks have shape {tuple(planes.shape)}; expected (n, H, W), or (H, W) for one")
    return planes[None] if planes.ndim == 2 else planes


def _areas(boxes: Tensor | None, masks: Tensor | None, count: int) -> list[float]:
    if masks is not None:
        return masks.flatten(1).sum(1).tolist()
    return [0.0] * count if boxes is None else (boxes[:, 2:] - boxes[:, :2]).prod(1).tolist()
