"""Non-negative matrix factorisation by coordinate descent from a deterministic start.

Start: Boutsidis & Gallopoulos 2008 (NNDSVD, doi 10.1016/j.patcog.2007.09.010), zeros filled with the mean. Descent: Cichocki & Phan
2009 (doi 10.1587/transfun.E92.A.708), the solver `cd` of scikit-learn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SMALL = 1e-6  # of the start: below it an entry counts as zero, as in scikit-learn


class Factors(NamedTuple):
    """X = W H for each matrix of a batch.

    Attributes:
        left: W (B, rows, factors), not negative.
        right: H (B, factors, columns), not negative.
    """

    left: Tensor
    right: Tensor


def factorise(matrices: Tensor, count: int, iterations: int) -> Factors:
    """Minimise |X - W H|^2 over non-negative W and H, for each matrix alone.

    Args:
        matrices: X (B, rows, columns), not negative, float64.
        count: number of factors; at most the shorter side of X counts.
        iterations: sweeps over W and H, always all of them: a stopping rule would make the result jump with rounding.
    """
    left, right = _start(matrices, min(count, *matrices.shape[1:]))
    for _ in range(iterations):
        left = _sweep(matrices, left, right.mT)
        right = _sweep(matrices.mT, right.mT, left).mT
    return Factors(left, right)


def _sweep(matrices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """W with each column in turn at its minimum, for X = W V', V (B, columns, factors)."""
    gram, products = right.mT @ right, matrices @ right
    steps = gram.diagonal(dim1=1, dim2=2)
    steps = torch.where(steps > 0, 1 / steps, 0)
    columns = list(left.unbind(2))
    for index in range(len(columns)):
        slope = (torch.stack(columns, 2) @ gram[:, :, index, None]).squeeze(2) - products[:, :, index]
        columns[index] = (columns[index] - slope * steps[:, index, None]).clamp_min(0)
    return torch.stack(columns, 2)


def _start(matrices: Tensor, count: int) -> Factors:
    """NNDSVDa: the larger of the positive and the negative part of each pair of singular vectors; zeros become the mean of X."""
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    left, right, values = left.mT[:, :count], right[:, :count], values[:, :count, None]  # (B, factors, rows or columns or 1)
    left, right = left.clone(), right.clone()
    left[:, 0], right[:, 0] = left[:, 0].abs(), right[:, 0].abs()  # of one sign but for rounding
    parts = [((sign * left).clamp_min(0), (sign * right).clamp_min(0)) for sign in (1, -1)]
    sizes = [first.norm(dim=2, keepdim=True) * second.norm(dim=2, keepdim=True) for first, second in parts]
    chosen = sizes[0] > sizes[1]
    scale, mean = (values * torch.where(chosen, *sizes)).sqrt(), matrices.mean((1, 2))[:, None, None]
    sides = list[Tensor]()
    for positive, negative in zip(*parts, strict=True):
        side = torch.where(chosen, positive, negative)
        side = scale * side / side.norm(dim=2, keepdim=True).clamp_min(torch.finfo(side.dtype).tiny)
        sides.append(torch.where(side < _SMALL, mean, side))
    return Factors(sides[0].mT, sides[1])
