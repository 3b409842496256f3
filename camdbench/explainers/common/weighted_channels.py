"""Weighted sum of channels, the form of most class activation maps."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_sum(weights: Tensor, activations: Tensor, *, relu: bool) -> Tensor:
    """sum_k w_k A_k (B, h, w) from w (B, K) and A (B, K, h, w), rectified if `relu`."""
    map_ = torch.einsum("bk,bkhw->bhw", weights.to(activations), activations)
    return map_.relu() if relu else map_
