"""Curves relative to their ends, between their points, and where they first meet a condition."""

from __future__ import annotations

import torch
from torch import Tensor


def normalised(scores: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Scores (B, K) as fractions of the way from `low` (B,) to `high` (B,), cut to [0, 1]; NaN where high <= low.

    >>> normalised(torch.tensor([[0.25, 0.5, 1.0]]), torch.tensor([0.25]), torch.tensor([0.75])).tolist()
    [[0.0, 0.5, 1.0]]
    """
    room = torch.where(high > low, high - low, torch.nan)[:, None]
    return ((scores - low[:, None]) / room).clamp(0, 1)


def first_crossing(holds: Tensor, x: Tensor) -> Tensor:
    """Smallest x (K,), ascending, at which a condition (B, K) holds, (B,) float64; NaN where it never does.

    >>> first_crossing(torch.tensor([[False, True, False], [False, False, False]]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.5, nan]
    """
    return torch.where(holds.any(1), x.double()[holds.int().argmax(1)], torch.nan)


def at_places(x: Tensor, y: Tensor, places: Tensor) -> Tensor:
    """Values (N,) at places (N,) of the line through points x, y (K,), x ascending; at an x with several points that of the last.

    Places before the first and behind the last point have its value.

    >>> at_places(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.25, 0.5, 1.0])).tolist()
    [0.5, 1.0, 0.0]
    """
    after = torch.searchsorted(x, places, right=True).clamp(1, len(x) - 1)
    start, stop = x[after - 1], x[after]
    way = torch.where(stop > start, (places - start) / torch.where(stop > start, stop - start, 1), 1).clamp(0, 1)
    return y[after - 1].lerp(y[after], way)
