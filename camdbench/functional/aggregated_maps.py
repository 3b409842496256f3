"""Aggregated attributions (AggAtt): mean map of each bin of a ranking by localisation in mosaics.

Rao et al. 2022, arXiv:2205.10435, section 4 (AggAtt). Positive parts are averaged as they are, without a normalisation by image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

BIN_EDGES = (0, 2, 5, 50, 95, 98, 100)
"""Ends of bins in per cent of the maps, the best localised first."""
_CLIP = 0.995  # quantile of the values of all bins above which they are cut


class AggregatedMaps(NamedTuple):
    """Mean maps of bins.

    Attributes:
        means: (6, H, W) float64; zero in a bin without a map.
        counts: number of maps of each bin.
        shares: mean share of positive attribution in the explained cell, of each bin, in [0, 1]; NaN in a bin without a map.
        top: the 99.5th percentile of the means, at which all bins are cut for display.
        cells: rows and columns of cells of a mosaic.
    """

    means: Tensor
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    top: float
    cells: int


def bin_numbers(shares: Tensor, inside: Tensor) -> Tensor:
    """Bin (N,) of each of N maps, from the share and, of equal ones, the sum of positive attribution in the explained cell.

    Bin b begins at map floor(N e_b / 100) of the ranking, with the edges e of `BIN_EDGES`.

    >>> bin_numbers(torch.arange(50) / 50, torch.zeros(50)).bincount().tolist()
    [1, 1, 23, 22, 2, 1]
    """
    places = sorted(range(len(shares)), key=lambda place: (-float(shares[place]), -float(inside[place])))
    starts = [len(places) * edge // 100 for edge in BIN_EDGES]
    found = torch.zeros(len(places), dtype=torch.int64)
    for number, (start, stop) in enumerate(pairwise(starts)):
        found[places[start:stop]] = number
    return found


def aggregate(sums: Tensor, numbers: Tensor, shares: Tensor, cells: int) -> AggregatedMaps:
    """Mean maps from the sums (6, H, W) of each bin's maps, the bins (N,) of the maps, their shares (N,), and the rows of cells."""
    counts = numbers.bincount(minlength=len(sums))
    means = sums / counts.clamp_min(1)[:, None, None]
    known = means[counts > 0]
    top = float(torch.quantile(known.flatten()[:: max(1, known.numel() // 2**23)], _CLIP)) if len(known) else 0.0
    own = [float(shares[numbers == number].double().mean()) for number in range(len(sums))]
    return AggregatedMaps(means, tuple(counts.tolist()), tuple(own), top, cells)


def to_first_cell(map_: Tensor, cell: int, n: int) -> Tensor:
    """A map (H, W) of a mosaic of n x n cells in which the cell of a number, counted row by row, stands at the top left.

    A cell in the lower or right half is mirrored, so that its neighbours remain neighbours; then cells move cyclically.

    >>> to_first_cell(torch.tensor([[1, 2], [3, 4]]), 3, 2).tolist()
    [[4, 3], [2, 1]]
    """
    for axis, place in ((0, cell // n), (1, cell % n)):
        if 2 * place > n - 1:
            map_, place = map_.flip(axis), n - 1 - place
        map_ = map_.roll(-place * (map_.shape[axis] // n), axis)
    return map_
