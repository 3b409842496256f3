"""Groups of pixels by salience, and the salience-guided faithfulness coefficient of their effects (SaCo)."""

from __future__ import annotations

import torch
from torch import Tensor


def groups_of(ranks: Tensor, count: int) -> Tensor:
    """Group (B, P) of each pixel of ranks (B, P): `count` groups of equal size, up to one pixel, the first ranks in group 0.

    >>> groups_of(torch.tensor([[3, 0, 2, 1]]), 2).tolist()
    [[1, 0, 1, 0]]
    """
    return ranks * count // ranks.shape[1]


def group_means(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Mean of values (B, P) over each of `count` groups (B, P), (B, count) float64 on the CPU; 0 for an empty group."""
    exact, where = values.to("cpu", torch.float64), groups.cpu()  # atomic additions on a GPU are unordered
    sums, sizes = (
        torch.zeros(len(exact), count, dtype=torch.float64).scatter_add_(1, where, part) for part in (exact, torch.ones_like(exact))
    )
    return sums / sizes.clamp_min(1)


def faithfulness_coefficient(salience: Tensor, drops: Tensor) -> Tensor:
    """Salience-guided faithfulness coefficient (B,) in [-1, 1] of salience and score drops (B, K), most salient group first.

    Wu et al. 2024, algorithm 1: sum over pairs i < j of (s_i - s_j), negative where d_i < d_j, over the sum of |s_i - s_j|. NaN if
    all groups have the same salience.

    >>> salience, drops = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[0.3, 0.4, 0.2, 0.1]])
    >>> round(faithfulness_coefficient(salience, drops).item(), 6)
    0.8
    """
    first, second = torch.triu_indices(salience.shape[1], salience.shape[1], 1)
    weights = salience[:, first] - salience[:, second]
    signed = torch.where(drops[:, first] >= drops[:, second], weights, -weights)
    return signed.sum(1) / weights.abs().sum(1)
