"""The eight symmetries of a square: views of an image, and their exact inverses for maps of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class D4View(NamedTuple):
    """Flips along `axes`, then anticlockwise quarter turns."""

    axes: tuple[int, ...] = ()
    turns: int = 0


VIEWS = (
    D4View(),
    D4View((-1,)),
    D4View((-2,)),
    D4View((-2, -1)),  # the half turn
    D4View(turns=1),
    D4View(turns=3),
    D4View((-2,), 1),
    D4View((-1,), 1),
)  # any first 1, 2, 4 or 8 of them are a group: views of views are views


def apply_view(images: Tensor, view: D4View) -> Tensor:
    """The view of images (…, H, W); a quarter turn exchanges rows and columns.

    >>> apply_view(torch.tensor([[1, 2], [3, 4]]), D4View((-1,), 1)).tolist()
    [[1, 3], [2, 4]]
    """
    return images.flip(view.axes).rot90(view.turns, (-2, -1))


def invert_view(maps: Tensor, view: D4View) -> Tensor:
    """The map of an image from the map (…, h, w) of its view: the inverse of `apply_view`.

    >>> invert_view(torch.tensor([[1, 3], [2, 4]]), D4View((-1,), 1)).tolist()
    [[1, 2], [3, 4]]
    """
    return maps.rot90(-view.turns, (-2, -1)).flip(view.axes)


def apply_views(images: Tensor, views: tuple[D4View, ...]) -> Tensor:
    """The views of images (B, …, H, W) one after the other, (V * B, …, H, W)."""
    return torch.cat([apply_view(images, view) for view in views])


def invert_views(maps: Tensor, views: tuple[D4View, ...]) -> Tensor:
    """The maps (V * B, h, w) of views in the images' own place, (V, B, h, w)."""
    return torch.stack([invert_view(part, view) for part, view in zip(maps.chunk(len(views)), views, strict=True)])
