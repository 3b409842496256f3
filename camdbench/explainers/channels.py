"""The form that most class activation maps share: channels weighed and added up."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_sum(weights: Tensor, activations: Tensor, *, relu: bool) -> Tensor:
    """sum_k w_k A_k (B, h, w) from w (B, K) and A (B, K, h, w), rectified where `relu`."""
    map_ = torch.einsum("bk,bkhw->bhw", weights.to(activations), activations)
    return map_.relu() if relu else map_
