"""Pointing game: whether the maximum of a map lies in a region, with several tie rules."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

Ties = Literal["any", "first", "centroid", "expected"]


def hits(maps: Tensor, region: Tensor, ties: Ties) -> Tensor:
    """Whether the maximum of each map (B, H, W) lies in its region (B, H, W) bool: (B,) float64 in [0, 1].

    - `any`: 1 if any maximal pixel lies in the region.
    - `first`: the first maximal pixel in raster order.
    - `centroid`: the pixel at the mean position of the maximal pixels.
    - `expected`: fraction of the maximal pixels inside the region.

    >>> tied, left = torch.tensor([[[5.0, 5.0, 1.0, 5.0]]]), torch.tensor([[[True, False, False, False]]])
    >>> [round(hits(tied, left, ties).item(), 2) for ties in ("any", "first", "centroid", "expected")]
    [1.0, 1.0, 0.0, 0.33]
    """
    values, inside = maps.flatten(1), region.flatten(1)
    best = values == values.amax(1, keepdim=True)
    if ties == "any":
        return (best & inside).any(1).double()
    if ties == "expected":
        return (best & inside).sum(1).double() / best.sum(1)
    first = values.argmax(1)  # torch returns the first of equal values
    place = first if ties == "first" else _centroids(best.unflatten(1, maps.shape[1:]))
    return inside.gather(1, place[:, None]).squeeze(1).double()


def near(region: Tensor, tolerance: float) -> Tensor:
    """Region (B, H, W) bool grown by all pixels closer than `tolerance` to it (between centres); unchanged at 0."""
    if tolerance == 0:
        return region
    from scipy import ndimage

    host = region.cpu().numpy()
    grown = torch.zeros_like(region)
    for index, one in enumerate(host):
        if one.any():
            distance: Any = ndimage.distance_transform_edt(~one)
            grown[index] = torch.from_numpy(distance < tolerance).to(region.device)
    return grown


def _centroids(places: Tensor) -> Tensor:
    """Flat index (B,) of the pixel at the mean position of places (B, H, W) bool; halves round up."""
    count, (height, width) = places.sum((1, 2)), places.shape[1:]
    rows, columns = (torch.arange(side, device=places.device) for side in (height, width))
    row, column = (places.sum(2) * rows).sum(1), (places.sum(1) * columns).sum(1)
    return (2 * row + count) // (2 * count) * width + (2 * column + count) // (2 * count)
