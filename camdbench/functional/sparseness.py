"""Sparseness of maps: Gini index, Shannon entropy, and the number of relevant pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64
from camdbench.functional.row_order import ordered_rows


def gini(maps: Tensor) -> Tensor:
    """Gini index (B,) of maps (B, H, W) >= 0, in [0, 1 - 1/n]: 0 for equal values, 1 - 1/n for a single non-zero value.

    sum_i (2i - n - 1) v_i / (n sum_i v_i) over the n values in ascending order, i from 1; float64. NaN for a zero map.

    >>> gini(torch.tensor([[[1.0, 1.0]], [[0.0, 1.0]]])).tolist()
    [0.0, 0.5]
    """
    values = to_float64(ordered_rows(maps.flatten(1))[0])
    count = values.shape[1]
    ranks = 2 * torch.arange(1, count + 1, dtype=values.dtype, device=values.device) - count - 1
    return (values * ranks).sum(1) / (count * values.sum(1))


def entropy(maps: Tensor, *, normalised: bool = False) -> Tensor:
    """Shannon entropy (B,) in nats of maps (B, H, W) >= 0 divided by their sum, float64.

    -sum_i p_i log p_i with p = v / sum v, in [0, log n]. `normalised` divides by log n.
    NaN for a zero map, and for n = 1 if normalised.

    >>> entropy(torch.ones(1, 2, 2), normalised=True).tolist()
    [1.0]
    """
    values = to_float64(maps).flatten(1)
    shares = values / values.sum(1, keepdim=True)
    found = torch.special.entr(shares).sum(1)
    return found / math.log(values.shape[1]) if normalised and values.shape[1] > 1 else found * (torch.nan if normalised else 1)


def count_relevant(maps: Tensor, threshold: float) -> Tensor:
    """Number (B,) of pixels of maps (B, H, W) >= 0 above `threshold` times the map's maximum, float64.

    >>> count_relevant(torch.tensor([[[0.0, 0.01, 2.0]]]), 0.1).tolist()
    [1.0]
    """
    values = to_float64(maps).flatten(1)
    return (values > threshold * values.amax(1, keepdim=True)).double().sum(1)
