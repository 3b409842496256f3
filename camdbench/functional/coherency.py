"""ADCC's arithmetic: how alike two maps are, and the harmonic mean of three shares."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import is_constant


def coherency(first: Tensor, second: Tensor) -> Tensor:
    """(Pearson's correlation + 1) / 2 of maps (B, H, W), (B,) float64 in [0, 1] on the CPU; NaN where a map is constant.

    >>> ramp = torch.arange(4.0).reshape(1, 2, 2)
    >>> coherency(ramp, 3 * ramp + 1).item(), coherency(ramp, -ramp).item(), coherency(ramp, ramp * 0).item()
    (1.0, 0.0, nan)
    """
    constant = (is_constant(first) | is_constant(second)).cpu()
    one, two = (_centred(maps) for maps in (first, second))
    correlation = ((one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1))).cpu()
    return torch.where(constant, torch.nan, (correlation.clamp(-1, 1) + 1) / 2)


def _centred(maps: Tensor) -> Tensor:
    """(B, H W) float64, of mean zero, and of a size that squares cannot leave the range."""
    flat = to_float64(maps).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


def harmonic_mean(*shares: Tensor) -> Tensor:
    """The harmonic mean of shares (B,) that are not negative; zero where one of them is.

    >>> harmonic_mean(torch.tensor([0.5, 0.0]), torch.tensor([0.25, 1.0]), torch.tensor([0.5, 1.0])).tolist()
    [0.375, 0.0]
    """
    return len(shares) / torch.stack([1 / share for share in shares]).sum(0)
