"""In which order pixels, patches or segments are replaced: a rank for every pixel, whatever the batch and the device."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64

TieRule = Literal["first", "last"]

_EQUAL = 1e-6  # difference, relative to the largest value, that rounding may make
_WIDEST = 8  # times that difference: what a range of values is cut into where they lie too close to be told apart one by one


def pixel_ranks(maps: Tensor, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """The place (B, P) of each pixel of maps (B, H, W) in their order, 0 for the pixel that comes first.

    Of equal values the `first` in row order comes first, or the `last`, as in code that turns an
    ascending sort round.

    >>> pixel_ranks(torch.tensor([[[0.5, 0.9], [0.5, 0.1]]])).tolist()
    [[1, 0, 2, 3]]
    >>> pixel_ranks(torch.tensor([[[0.5, 0.9], [0.5, 0.1]]]), ties="last").tolist()
    [[2, 0, 1, 3]]
    """
    return ranks(maps.flatten(1), most_first=most_first, ties=ties)


def ranks(values: Tensor, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """The place of each of the values (B, N) in their order, (B, N) int64; see `pixel_ranks`."""
    levels = _levels(values)
    if ties == "last":
        order = levels.sort(dim=1, descending=not most_first, stable=True).indices.flip(1)
    else:
        order = levels.sort(dim=1, descending=most_first, stable=True).indices
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _levels(values: Tensor) -> Tensor:
    """Whole numbers (B, N) in the order of the values, equal where values are equal up to rounding.

    A small map that is enlarged bilinearly holds many values that are equal by symmetry and differ in their last digits,
    which change with the size of the batch and the device. Where neighbours in the sorted order are closer than a millionth
    of the largest value, they are equals; but where many values lie so close that equals chain into a range, as in the flat
    part of a smooth map, the range is cut every eight millionths, so that a level never spans more.
    """
    ordered, order = values.sort(dim=1)
    close = _EQUAL * values.abs().amax(1, keepdim=True)
    apart = F.pad(ordered.diff(dim=1) > close, (1, 0))
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    start = ordered.gather(1, torch.where(apart, places, 0).cummax(1).values)  # the first of each chain
    cut = ((ordered - start) / (_WIDEST * close).clamp_min(torch.finfo(values.dtype).tiny)).floor()
    apart |= F.pad(cut.diff(dim=1) != 0, (1, 0))
    return torch.empty_like(order).scatter_(1, order, apart.long().cumsum(1))


def grid_ranks(maps: Tensor, patch: int, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """The place (B, P) of each pixel's patch when patches are ordered by the sum of their map.

    Patches of `patch` x `patch` pixels lie side by side; where they do not fill the image exactly, the outer ones are
    cut off, on both sides alike.
    """
    size = (maps.shape[-2], maps.shape[-1])
    rows, columns = (_cut(side, patch) for side in size)
    padded = F.pad(to_float64(maps), (columns.before, columns.after, rows.before, rows.after))
    sums = padded.unflatten(2, (columns.number, patch)).unflatten(1, (rows.number, patch)).sum((2, 4))  # (B, rows, columns)
    places = ranks(sums.flatten(1).to(maps.device), most_first=most_first, ties=ties)
    return places[:, patches(size, patch, maps.device).flatten()]


def patches(size: tuple[int, int], patch: int, device: torch.device) -> Tensor:
    """Number of the patch that each pixel lies in, (H, W), row by row.

    >>> patches((2, 4), 2, torch.device("cpu")).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    >>> patches((1, 4), 3, torch.device("cpu")).tolist()
    [[0, 0, 1, 1]]
    """
    rows, columns = (_cut(side, patch) for side in size)
    row, column = ((torch.arange(side, device=device) + cut.before) // patch for side, cut in zip(size, (rows, columns), strict=True))
    return row[:, None] * columns.number + column


def count_cells(size: tuple[int, int], patch: int) -> int:
    """How many patches there are."""
    return _cut(size[0], patch).number * _cut(size[1], patch).number


class _Cut(NamedTuple):
    """How a side of an image is cut into patches: how many, and how many pixels of the outer ones are missing."""

    number: int
    before: int
    after: int


def _cut(side: int, patch: int) -> _Cut:
    count = -(-side // patch)
    missing = count * patch - side
    return _Cut(count, missing // 2, missing - missing // 2)


def sliding_ranks(maps: Tensor, patch: int, regions: int, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """The place (B, P) of each pixel's patch when patches may lie anywhere but not overlap; `regions` where none does.

    The patch with the largest sum of the map is taken, then the largest of those that do not overlap it, and so on.
    A patch may begin at any pixel and is cut off at the right and the lower edge. Where no patch is left, no more are taken.
    """
    height, width = maps.shape[-2:]
    padded = F.pad(to_float64(maps), (0, patch - 1, 0, patch - 1))
    sums = F.avg_pool2d(padded[:, None], patch, 1).to(maps.device)  # the mean orders as the sum does
    place_of = ranks(sums.flatten(1), most_first=most_first, ties=ties)
    row, column = torch.arange(height, device=maps.device)[:, None], torch.arange(width, device=maps.device)
    free = torch.ones_like(maps, dtype=torch.bool)
    found = torch.full_like(maps, regions, dtype=torch.int64)
    for place in range(regions):
        chosen = torch.where(free.flatten(1), place_of, height * width).argmin(1)
        down, right = row - (chosen // width)[:, None, None], column - (chosen % width)[:, None, None]  # (B, H, 1), (B, 1, W)
        any_free = free.flatten(1).any(1)[:, None, None]
        inside = (down >= 0) & (down < patch) & (right >= 0) & (right < patch)
        found = torch.where(inside & any_free, place, found)
        free &= ~((down.abs() < patch) & (right.abs() < patch))
    return found.flatten(1)


def segment_ranks(maps: Tensor, labels: Tensor, *, ties: TieRule = "first") -> Tensor:
    """The place (B, P) of each pixel's segment when segments are ordered by the mean of their map, the largest first.

    Args:
        maps: (B, H, W), not negative.
        labels: (B, H, W) number of each pixel's segment, from 0, without gaps.
        ties: which of equal segments comes first.
    """
    where, values = labels.flatten(1).cpu(), maps.flatten(1).to("cpu", torch.float64)  # atomic additions of a GPU come in any order
    sums, sizes = (
        torch.zeros(len(maps), int(where.max()) + 1, dtype=torch.float64).scatter_add_(1, where, item)
        for item in (values, torch.ones_like(values))
    )
    means = torch.where(sizes > 0, sums / sizes.clamp_min(1), -1)  # numbers that only other images have come last
    return ranks(means, ties=ties).gather(1, where).to(maps.device)
