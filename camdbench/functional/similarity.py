"""Similarity of maps: Spearman correlation, SSIM, and histograms of oriented gradients (HOG)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise
from camdbench.functional.row_order import ordered_rows

Similarity = Literal["spearman", "spearman_abs", "ssim", "hog"]
Compare = Callable[[Tensor], Tensor]


def similarity(first: Tensor, second: Tensor, how: Similarity) -> Tensor:
    """Similarity (B,) of pairs of maps (B, H, W), float64, at most 1.

    - `spearman`: Spearman correlation of the signed maps.
    - `spearman_abs`: Spearman correlation of the absolute values.
    - `ssim`: SSIM of the maps, each scaled to [0, 1].
    - `hog`: Spearman correlation of the HOG descriptors of the maps, each scaled to [0, 1].

    NaN if the maps are smaller than the window of `ssim` (11 pixels) or a block of `hog` (48 pixels), or not finite.
    """
    return similarity_to(first, how)(second)


def similarity_to(first: Tensor, how: Similarity) -> Compare:
    """Function from other maps (B, H, W) to their `similarity` (B,) to these; what depends on these alone is computed once."""
    return _HOW[how](first)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Spearman correlation (B,) of vectors (B, ...), ties with their mean rank; 0 if one is constant.

    >>> spearman(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 8.0, 27.0]])).tolist()
    [1.0]
    """
    return _spearman_to(first)(second)


def _spearman_to(first: Tensor) -> Compare:
    a = _ranks(first.flatten(1))
    length = a.square().sum(1)

    def compare(second: Tensor) -> Tensor:
        b = _ranks(second.flatten(1))
        norm = (length * b.square().sum(1)).sqrt()
        return torch.where(norm > 0, (a * b).sum(1) / torch.where(norm > 0, norm, 1), norm)  # 0 or NaN as the norm

    return compare


def _ranks(values: Tensor) -> Tensor:
    """Centred ranks (B, n), ties with their mean rank; NaN for rows with non-finite values."""
    ordered, places = ordered_rows(values)
    width = values.shape[1]
    number = torch.arange(width, device=values.device)
    ends = F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 1), value=True)  # (B, n + 1), where a run of equal values starts or ends
    first = torch.where(ends[:, :-1], number, 0).cummax(1).values
    last = torch.where(ends[:, 1:], number, width).flip(1).cummin(1).values.flip(1)
    ranks = to_float64(torch.empty_like(first).scatter_(1, places, first + last - (width - 1))) / 2
    return torch.where(values.isfinite().all(1, keepdim=True).to(ranks.device), ranks, torch.nan)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM (B,) of maps (B, H, W) in [0, 1] (Wang et al. 2004, eq. 13), float64; NaN for maps smaller than the window.

    Gaussian window of sigma 1.5 and 11 pixels, sample covariances (n/(n-1), n = 121), K1 = 0.01, K2 = 0.03, data range 1,
    no padding; equals scikit-image's `structural_similarity(gaussian_weights=True, data_range=1)`.
    """
    return _ssim_to(first)(second)


def _ssim_to(first: Tensor) -> Compare:
    a = to_float64(first)
    if min(a.shape[-2:]) < _WINDOW:
        return lambda second: torch.full((len(second),), torch.nan, dtype=a.dtype, device=a.device)
    mean_a = _windowed(a)
    square_a = mean_a * mean_a
    variance_a = _windowed(a * a) - square_a
    c1, c2 = 0.01**2, 0.03**2 * (_WINDOW**2 - 1) / _WINDOW**2  # c2 of covariances that divide by n, instead of n - 1

    def compare(second: Tensor) -> Tensor:
        b = to_float64(second)
        mean_b = _windowed(b)
        square_b, product = mean_b * mean_b, mean_a * mean_b
        variance_b = _windowed(b * b) - square_b
        covariance = _windowed(a * b) - product
        luminance = (2 * product + c1) / (square_a + square_b + c1)
        return (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean((1, 2))

    return compare


_WINDOW = 11


def _windowed(maps: Tensor) -> Tensor:
    """Gaussian means of all windows of maps (B, H, W), float64; first along columns, then along rows."""
    line = [math.exp(-((place - _WINDOW // 2) ** 2) / (2 * 1.5**2)) for place in range(_WINDOW)]
    for dim in (1, 2):
        length = maps.shape[dim] - _WINDOW + 1
        found = maps.narrow(dim, 0, length) * (line[0] / sum(line))
        for place in range(1, _WINDOW):
            found.add_(maps.narrow(dim, place, length), alpha=line[place] / sum(line))
        maps = found
    return maps


def hog(maps: Tensor) -> Tensor:
    """HOG descriptors (B, n) of maps (B, H, W) by scikit-image: cells of 16 x 16 pixels, 9 orientations, blocks of 3 x 3 cells.

    n = 0 for maps smaller than a block.
    """
    from skimage.feature import hog as describe

    if min(maps.shape[-2:]) < 48:
        return torch.empty(len(maps), 0, dtype=torch.float64)
    return torch.stack([torch.from_numpy(describe(item.numpy(), pixels_per_cell=(16, 16))) for item in to_float64(maps).cpu()])


def _spearman_abs_to(first: Tensor) -> Compare:
    compare = _spearman_to(first.abs())
    return lambda second: compare(second.abs())


def _ssim_scaled_to(first: Tensor) -> Compare:
    compare = _ssim_to(normalise(first, "range"))
    return lambda second: compare(normalise(second, "range"))


def _hog_correlation_to(first: Tensor) -> Compare:
    described = hog(normalise(first, "range"))
    if not described.shape[1]:
        return lambda second: torch.full((len(second),), torch.nan, dtype=torch.float64)
    compare = _spearman_to(described)
    return lambda second: compare(hog(normalise(second, "range")))


_HOW: dict[Similarity, Callable[[Tensor], Compare]] = {
    "spearman": _spearman_to,
    "spearman_abs": _spearman_abs_to,
    "ssim": _ssim_scaled_to,
    "hog": _hog_correlation_to,
}
