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
    """X = W H.

    Attributes:
        left: W (rows, factors), not negative.
        right: H (factors, columns), not negative.
    """

    left: Tensor
    right: Tensor


def factorise(matrix: Tensor, count: int, iterations: int) -> Factors:
    """Minimise |X - W H|^2 over non-negative W and H.

    Args:
        matrix: X (rows, columns), not negative, float64.
        count: number of factors; at most the shorter side of X counts.
        iterations: sweeps over W and H, always all of them: a stopping rule would make the result jump with rounding.
    """
    left, right = _start(matrix, min(count, *matrix.shape))
    for _ in range(iterations):
        left = _sweep(matrix, left, right.T)
        right = _sweep(matrix.T, right.T, left).T
    return Factors(left, right)


def _sweep(matrix: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """W with each column in turn at its minimum, for X = W V', V (columns, factors)."""
    gram, products, left = right.T @ right, matrix @ right, left.clone()
    for index in range(left.shape[1]):
        if gram[index, index] > 0:
            slope = left @ gram[:, index] - products[:, index]
            left[:, index] = (left[:, index] - slope / gram[index, index]).clamp_min(0)
    return left


def _start(matrix: Tensor, count: int) -> Factors:
    """NNDSVDa: the larger of the positive and the negative part of each pair of singular vectors; zeros become the mean of X."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    pairs = list[tuple[Tensor, Tensor]]()
    for index in range(count):
        own, other = left[:, index], right[index]
        if own.sum() < 0 and index == 0:
            own, other = -own, -other  # the first pair has one sign
        parts = [((sign * own).clamp_min(0), (sign * other).clamp_min(0)) for sign in (1, -1)]
        sizes = [(first.norm() * second.norm()) for first, second in parts]
        (first, second), size = (parts[0], sizes[0]) if index == 0 or sizes[0] > sizes[1] else (parts[1], sizes[1])
        tiny = torch.finfo(matrix.dtype).tiny
        root = (values[index] * size).sqrt()
        pairs.append((root * first / first.norm().clamp_min(tiny), root * second / second.norm().clamp_min(tiny)))
    mean = matrix.mean()
    columns, rows = (torch.stack([pair[side] for pair in pairs]) for side in (0, 1))
    columns, rows = (torch.where(part < _SMALL, mean, part) for part in (columns, rows))
    return Factors(columns.T.contiguous(), rows)
