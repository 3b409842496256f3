"""Orders in which pixels, patches or segments are replaced: a rank per pixel, independent of batch and device."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.row_order import order_of_pairs, ordered_rows

TieRule = Literal["first", "last"]

_EQUAL = 1e-6  # relative difference within rounding
_WIDEST = 8  # largest span of a level, in units of that difference


def pixel_ranks(maps: Tensor, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """Rank (B, P) of each pixel of maps (B, H, W), 0 for the first.

    Ties are broken by row order: `first` or `last` (as if an ascending sort were reversed).

    >>> pixel_ranks(torch.tensor([[[0.5, 0.9], [0.5, 0.1]]])).tolist()
    [[1, 0, 2, 3]]
    >>> pixel_ranks(torch.tensor([[[0.5, 0.9], [0.5, 0.1]]]), ties="last").tolist()
    [[2, 0, 1, 3]]
    """
    return ranks(maps.flatten(1), most_first=most_first, ties=ties)


def ranks(values: Tensor, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """Rank of each value in (B, N), int64; see `pixel_ranks`."""
    levels, order = _levels(values)
    last = values.shape[1] - 1
    if most_first:
        levels = -levels
    order = order_of_pairs(levels, order) if ties == "first" else last - order_of_pairs(levels, last - order)
    places = torch.arange(last + 1, device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _levels(values: Tensor) -> tuple[Tensor, Tensor]:
    """Integer levels (B, N) of the values in ascending order, equal for values equal up to rounding, and the place of each value.

    Bilinear upsampling of a small map produces values equal by symmetry up to their last digits, which depend on batch size
    and device. Sorted neighbours closer than 1e-6 of the largest value share a level. In flat parts of smooth maps such
    neighbours form long chains, which are cut every 8e-6.
    """
    ordered, order = ordered_rows(values)
    close = _EQUAL * values.abs().amax(1, keepdim=True)
    apart = F.pad(ordered.diff(dim=1) > close, (1, 0))
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    start = ordered.gather(1, torch.where(apart, places, 0).cummax(1).values)  # first value of each chain
    cut = ((ordered - start) / (_WIDEST * close).clamp_min(torch.finfo(values.dtype).tiny)).floor()
    apart |= F.pad(cut.diff(dim=1) != 0, (1, 0))
    return apart.long().cumsum(1), order


def grid_ranks(maps: Tensor, patch: int, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """Rank (B, P) of each pixel's patch, ordered by the sum of the map over the patch.

    Patches of `patch` x `patch` pixels tile the image; if they do not fit, the outer ones are cropped on both sides.
    """
    size = (maps.shape[-2], maps.shape[-1])
    rows, columns = (_divide(side, patch) for side in size)
    padded = F.pad(to_float64(maps), (columns.before, columns.after, rows.before, rows.after))
    sums = padded.unflatten(2, (columns.number, patch)).unflatten(1, (rows.number, patch)).sum((2, 4))  # (B, rows, columns)
    places = ranks(sums.flatten(1).to(maps.device), most_first=most_first, ties=ties)
    return places[:, patches(size, patch, maps.device).flatten()]


def patches(size: tuple[int, int], patch: int, device: torch.device) -> Tensor:
    """Patch index of each pixel, (H, W), row by row.

    >>> patches((2, 4), 2, torch.device("cpu")).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    >>> patches((1, 4), 3, torch.device("cpu")).tolist()
    [[0, 0, 1, 1]]
    """
    rows, columns = (_divide(side, patch) for side in size)
    row, column = ((torch.arange(side, device=device) + cut.before) // patch for side, cut in zip(size, (rows, columns), strict=True))
    return row[:, None] * columns.number + column


def count_patches(size: tuple[int, int], patch: int) -> int:
    """Number of patches."""
    return _divide(size[0], patch).number * _divide(size[1], patch).number


class _Cut(NamedTuple):
    """Division of an image side into patches: their number, and the pixels cropped from the outer ones."""

    number: int
    before: int
    after: int


def _divide(side: int, patch: int) -> _Cut:
    count = -(-side // patch)
    missing = count * patch - side
    return _Cut(count, missing // 2, missing - missing // 2)


def sliding_ranks(maps: Tensor, patch: int, regions: int, *, most_first: bool = True, ties: TieRule = "first") -> Tensor:
    """Rank (B, P) of each pixel's patch for non-overlapping patches at any position; `regions` outside all patches.

    Greedy: the patch with the largest sum of the map is taken, then the largest that overlaps none taken before. Patches are
    cropped at the right and the lower edge.
    """
    height, width = maps.shape[-2:]
    padded = F.pad(to_float64(maps), (0, patch - 1, 0, patch - 1))
    sums = F.avg_pool2d(padded[:, None], patch, 1).to(maps.device)  # the mean orders as the sum does
    place_of = ranks(sums.flatten(1), most_first=most_first, ties=ties)
    row, column = torch.arange(height, device=maps.device)[:, None], torch.arange(width, device=maps.device)
    free = torch.ones_like(maps, dtype=torch.bool)
    found = torch.full_like(maps, regions, dtype=torch.int64)
    for place in range(regions):
        corner = torch.where(free.flatten(1), place_of, height * width).argmin(1)
        down, right = row - (corner // width)[:, None, None], column - (corner % width)[:, None, None]  # (B, H, 1), (B, 1, W)
        any_free = free.flatten(1).any(1)[:, None, None]
        inside = (down >= 0) & (down < patch) & (right >= 0) & (right < patch)
        found = torch.where(inside & any_free, place, found)
        free &= ~((down.abs() < patch) & (right.abs() < patch))
    return found.flatten(1)


def segment_ranks(maps: Tensor, labels: Tensor, *, ties: TieRule = "first") -> Tensor:
    """Rank (B, P) of each pixel's segment, ordered by the mean of the map over the segment, the largest first.

    Args:
        maps: (B, H, W), not negative.
        labels: (B, H, W) segment index of each pixel, from 0, without gaps.
        ties: tie-breaking rule.
    """
    where, values = labels.flatten(1).cpu(), maps.flatten(1).to("cpu", torch.float64)  # atomic additions on a GPU are unordered
    sums, sizes = (
        torch.zeros(len(maps), int(where.max()) + 1, dtype=torch.float64).scatter_add_(1, where, item)
        for item in (values, torch.ones_like(values))
    )
    means = torch.where(sizes > 0, sums / sizes.clamp_min(1), -1)  # indices used by other images only come last
    return ranks(means, ties=ties).gather(1, where).to(maps.device)
