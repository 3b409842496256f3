"""The eight symmetries of a square: views of an image, and their exact inverses for maps of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class View(NamedTuple):
    """Flips along `axes`, then anticlockwise quarter turns."""

    axes: tuple[int, ...] = ()
    turns: int = 0


VIEWS = (
    View(),
    View((-1,)),
    View((-2,)),
    View((-2, -1)),  # the half turn
    View(turns=1),
    View(turns=3),
    View((-2,), 1),
    View((-1,), 1),
)  # any first 1, 2, 4 or 8 of them are a group: views of views are views


def turned(images: Tensor, view: View) -> Tensor:
    """The view of images (…, H, W); a quarter turn exchanges rows and columns.

    >>> turned(torch.tensor([[1, 2], [3, 4]]), View((-1,), 1)).tolist()
    [[1, 3], [2, 4]]
    """
    return images.flip(view.axes).rot90(view.turns, (-2, -1))


def turned_back(maps: Tensor, view: View) -> Tensor:
    """The map of an image from the map (…, h, w) of its view: the inverse of `turned`.

    >>> turned_back(torch.tensor([[1, 3], [2, 4]]), View((-1,), 1)).tolist()
    [[1, 2], [3, 4]]
    """
    return maps.rot90(-view.turns, (-2, -1)).flip(view.axes)


def all_turned(images: Tensor, views: tuple[View, ...]) -> Tensor:
    """The views of images (B, …, H, W) one after the other, (V * B, …, H, W)."""
    return torch.cat([turned(images, view) for view in views])


def all_turned_back(maps: Tensor, views: tuple[View, ...]) -> Tensor:
    """The maps (V * B, h, w) of views in the images' own place, (V, B, h, w)."""
    return torch.stack([turned_back(part, view) for part, view in zip(maps.chunk(len(views)), views, strict=True)])
