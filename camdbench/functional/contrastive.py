"""The contrast of a map with the right map against wrong ones (CGC)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.functional.float_precision import to_float64


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine (B,) of maps (B, H, W) pairwise, float64; 0 where one of them is zero everywhere."""
    return F.cosine_similarity(to_float64(first).flatten(1), to_float64(second).flatten(1), eps=1e-30)


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine (B, J) of each of the maps (B, H, W) with each of (J, H, W), float64; 0 where one of them is zero everywhere."""
    return _directions(first) @ _directions(second).mT


def _directions(maps: Tensor) -> Tensor:
    return F.normalize(to_float64(maps).flatten(1), eps=1e-30)


def contrast_loss(right: Tensor, wrong: Tensor, temperature: float) -> Tensor:
    """-log exp(r/tau) / (exp(r/tau) + sum_j exp(w_j/tau)), (B,), from the cosines of an anchor with the right map and with wrong ones.

    For maps >= 0 between log(1 + J e^(-1/tau)), where the anchor is the right map and shares no place with the wrong
    ones, and log(1 + J e^(1/tau)); log(1 + J) where all are equally alike.

    Args:
        right: (B,) r.
        wrong: (B, J) w.
        temperature: tau.

    >>> round(contrast_loss(torch.ones(1), torch.zeros(1, 31), 0.5).item(), 4)
    1.6478
    """
    return -F.log_softmax(torch.cat([right[:, None], wrong], 1) / temperature, 1)[:, 0]
