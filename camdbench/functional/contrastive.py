"""Cosine similarity of maps, and the contrastive loss of CGC."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine similarity (B,) of pairs of maps (B, H, W), float64; 0 if one is zero everywhere."""
    return F.cosine_similarity(to_float64(first).flatten(1), to_float64(second).flatten(1), eps=1e-30)


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine similarities (B, J) of maps (B, H, W) with maps (J, H, W), float64; 0 if one is zero everywhere."""
    return _normalise(first) @ _normalise(second).mT


def _normalise(maps: Tensor) -> Tensor:
    return F.normalize(to_float64(maps).flatten(1), eps=1e-30)


def contrast_loss(right: Tensor, wrong: Tensor, temperature: float) -> Tensor:
    """InfoNCE: -log exp(r/tau) / (exp(r/tau) + sum_j exp(w_j/tau)), (B,), from the cosines of positive and negative pairs.

    For maps >= 0 in [log(1 + J e^(-1/tau)), log(1 + J e^(1/tau))]; log(1 + J) if all cosines are equal.

    Args:
        right: (B,) r, positive pairs.
        wrong: (B, J) w, negative pairs.
        temperature: tau.

    >>> round(contrast_loss(torch.ones(1), torch.zeros(1, 31), 0.5).item(), 4)
    1.6478
    """
    return -F.log_softmax(torch.cat([right[:, None], wrong], 1) / temperature, 1)[:, 0]
