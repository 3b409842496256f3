"""Similarity of maps: Spearman correlation, SSIM, and histograms of oriented gradients (HOG)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise

Similarity = Literal["spearman", "spearman_abs", "ssim", "hog"]


def similarity(first: Tensor, second: Tensor, how: Similarity) -> Tensor:
    """Similarity (B,) of pairs of maps (B, H, W), float64, at most 1.

    - `spearman`: Spearman correlation of the signed maps.
    - `spearman_abs`: Spearman correlation of the absolute values.
    - `ssim`: SSIM of the maps, each scaled to [0, 1].
    - `hog`: Spearman correlation of the HOG descriptors of the maps, each scaled to [0, 1].

    NaN if the maps are smaller than the window of `ssim` (11 pixels) or a block of `hog` (48 pixels), or not finite.
    """
    return _HOW[how](first, second)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Spearman correlation (B,) of vectors (B, ...), ties with their mean rank; 0 if one is constant.

    >>> spearman(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 8.0, 27.0]])).tolist()
    [1.0]
    """
    a, b = _ranks(first.flatten(1)), _ranks(second.flatten(1))
    norm = (a.square().sum(1) * b.square().sum(1)).sqrt()
    return torch.where(norm > 0, (a * b).sum(1) / torch.where(norm > 0, norm, 1), norm)  # 0 or NaN as the norm


def _ranks(values: Tensor) -> Tensor:
    """Centred ranks (B, n), ties with their mean rank; NaN for rows with non-finite values."""
    ordered = values.sort(1).values
    below = torch.searchsorted(ordered, values.contiguous(), side="left")
    upto = torch.searchsorted(ordered, values.contiguous(), side="right")
    ranks = to_float64(below + upto) / 2
    ranks = ranks - ranks.mean(1, keepdim=True)
    return torch.where(values.isfinite().all(1, keepdim=True).to(ranks.device), ranks, torch.nan)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM (B,) of maps (B, H, W) in [0, 1] (Wang et al. 2004, eq. 13), float64; NaN for maps smaller than the window.

    Gaussian window of sigma 1.5 and 11 pixels, sample covariances (n/(n-1), n = 121), K1 = 0.01, K2 = 0.03, data range 1,
    no padding; equals scikit-image's `structural_similarity(gaussian_weights=True, data_range=1)`.
    """
    a, b = to_float64(first).unsqueeze(1), to_float64(second).unsqueeze(1)
    if min(a.shape[-2:]) < _WINDOW:
        return torch.full((len(a),), torch.nan, dtype=a.dtype, device=a.device)
    window = _gaussian(a)
    mean_a, mean_b = F.conv2d(a, window), F.conv2d(b, window)
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    variance_a = unbiased * (F.conv2d(a * a, window) - mean_a * mean_a)
    variance_b = unbiased * (F.conv2d(b * b, window) - mean_b * mean_b)
    covariance = unbiased * (F.conv2d(a * b, window) - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean((1, 2, 3))


_WINDOW = 11


def _gaussian(like: Tensor) -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    line = line / line.sum()
    return torch.outer(line, line)[None, None]


def hog(maps: Tensor) -> Tensor:
    """HOG descriptors (B, n) of maps (B, H, W) by scikit-image: cells of 16 x 16 pixels, 9 orientations, blocks of 3 x 3 cells.

    n = 0 for maps smaller than a block.
    """
    from skimage.feature import hog as describe

    if min(maps.shape[-2:]) < 48:
        return torch.empty(len(maps), 0, dtype=torch.float64)
    return torch.stack([torch.from_numpy(describe(item.numpy(), pixels_per_cell=(16, 16))) for item in to_float64(maps).cpu()])


def _spearman_abs(first: Tensor, second: Tensor) -> Tensor:
    return spearman(first.abs(), second.abs())


def _ssim_scaled(first: Tensor, second: Tensor) -> Tensor:
    return ssim(normalise(first, "range"), normalise(second, "range"))


def _hog_correlation(first: Tensor, second: Tensor) -> Tensor:
    a, b = hog(normalise(first, "range")), hog(normalise(second, "range"))
    return spearman(a, b) if a.shape[1] else torch.full((len(a),), torch.nan, dtype=torch.float64)


_HOW: dict[Similarity, Callable[[Tensor, Tensor], Tensor]] = {
    "spearman": spearman,
    "spearman_abs": _spearman_abs,
    "ssim": _ssim_scaled,
    "hog": _hog_correlation,
}
