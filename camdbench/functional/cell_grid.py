"""Grids of cells over an image: cell numbers, sums over cells, random subsets of cells, and images without subsets."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64

_LARGEST_SHARE = 0.8  # of the cells in a subset (Ancona et al. 2018)


def cells(size: tuple[int, int], count: int, device: torch.device) -> Tensor:
    """Number of the cell of a `count` x `count` grid that each pixel lies in, (H, W), row by row.

    >>> cells((2, 4), 2, torch.device("cpu")).tolist()
    [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    rows, columns = (torch.arange(side, device=device) * count // side for side in size)
    return rows[:, None] * count + columns


def cell_sums(maps: Tensor, count: int) -> Tensor:
    """Sums of maps (B, H, W) over the cells of a `count` x `count` grid, (B, count^2) float64.

    >>> cell_sums(torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]), 2).tolist()
    [[3.0, 7.0, 11.0, 15.0]]
    """
    exact = to_float64(maps)
    rows, columns = (_membership(side, count, exact) for side in exact.shape[-2:])
    return (rows @ exact @ columns.T).flatten(1)


def _membership(side: int, count: int, like: Tensor) -> Tensor:
    """Ones where a row or column of pixels lies in a row or column of cells, (count, side)."""
    return (torch.arange(side, device=like.device) * count // side == torch.arange(count, device=like.device)[:, None]).to(like)


def subset_sizes(total: int, points: int) -> tuple[int, ...]:
    """Numbers of cells in a subset, evenly spaced on a logarithmic scale from 1 to 80 % of `total`, without repetition.

    >>> subset_sizes(256, 5), subset_sizes(4, 5)
    ((1, 4, 14, 54, 205), (1, 2, 3))
    """
    largest = max(1.0, _LARGEST_SHARE * total)
    return tuple(sorted({round(largest ** (point / max(1, points - 1))) for point in range(points)}))


def random_subsets(generator: torch.Generator, total: int, size: int, samples: int) -> Tensor:
    """Uniform random subsets of `size` of `total` cells, (samples, total) bool.

    >>> random_subsets(torch.Generator().manual_seed(0), 9, 4, 3).sum(1).tolist()
    [4, 4, 4]
    """
    places = torch.rand(samples, total, generator=generator, dtype=torch.float64).argsort(dim=1, stable=True)
    return torch.zeros(samples, total, dtype=torch.bool).scatter_(1, places[:, :size], value=True)
