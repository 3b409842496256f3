"""The eight symmetries of the square (dihedral group D4): views of images, and their inverses for maps."""

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
    D4View((-2, -1)),  # half turn
    D4View(turns=1),
    D4View(turns=3),
    D4View((-2,), 1),
    D4View((-1,), 1),
)  # the first 1, 2, 4 or 8 form a group


def apply_view(images: Tensor, view: D4View) -> Tensor:
    """View of images (…, H, W); a quarter turn exchanges rows and columns.

    >>> apply_view(torch.tensor([[1, 2], [3, 4]]), D4View((-1,), 1)).tolist()
    [[1, 3], [2, 4]]
    """
    return images.flip(view.axes).rot90(view.turns, (-2, -1))


def invert_view(maps: Tensor, view: D4View) -> Tensor:
    """Inverse of `apply_view` on maps (…, h, w) of a view.

    >>> invert_view(torch.tensor([[1, 3], [2, 4]]), D4View((-1,), 1)).tolist()
    [[1, 2], [3, 4]]
    """
    return maps.rot90(-view.turns, (-2, -1)).flip(view.axes)


def apply_views(images: Tensor, views: tuple[D4View, ...]) -> Tensor:
    """All views of images (B, …, H, W), concatenated: (V * B, …, H, W)."""
    return torch.cat([apply_view(images, view) for view in views])


def invert_views(maps: Tensor, views: tuple[D4View, ...]) -> Tensor:
    """Maps (V * B, h, w) of all views in the images' orientation: (V, B, h, w)."""
    return torch.stack([invert_view(part, view) for part, view in zip(maps.chunk(len(views)), views, strict=True)])
