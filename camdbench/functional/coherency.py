"""Coherency of ADCC (Pearson correlation of two maps) and the harmonic mean."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import is_constant


def coherency(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation r of maps (B, H, W) as (r + 1) / 2: (B,) float64 in [0, 1] on the CPU; NaN for a constant map.

    >>> ramp = torch.arange(4.0).reshape(1, 2, 2)
    >>> coherency(ramp, 3 * ramp + 1).item(), coherency(ramp, -ramp).item(), coherency(ramp, ramp * 0).item()
    (1.0, 0.0, nan)
    """
    constant = (is_constant(first) | is_constant(second)).cpu()
    one, two = (_centre(maps) for maps in (first, second))
    correlation = ((one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1))).cpu()
    return torch.where(constant, torch.nan, (correlation.clamp(-1, 1) + 1) / 2)


def _centre(maps: Tensor) -> Tensor:
    """Maps as (B, H W) float64 with mean 0 and largest absolute value 1, which avoids overflow of squares."""
    flat = to_float64(maps).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


def harmonic_mean(*values: Tensor) -> Tensor:
    """Harmonic mean of non-negative values (B,); 0 if one of them is 0.

    >>> harmonic_mean(torch.tensor([0.5, 0.0]), torch.tensor([0.25, 1.0]), torch.tensor([0.5, 1.0])).tolist()
    [0.375, 0.0]
    """
    return len(values) / torch.stack([1 / value for value in values]).sum(0)
