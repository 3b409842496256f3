"""Mean and variance of tensors that come one after another (Welford 1962, doi 10.1080/00401706.1962.10490022)."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.functional.float_precision import to_float64


class RunningMoments:
    """Elementwise mean and sum of squared deviations in float64; the variance is never negative, as E[g^2] - E[g]^2 may be by rounding.

    >>> moments = RunningMoments()
    >>> for value in (1.0, 2.0, 6.0):
    ...     moments.add(torch.tensor([value]))
    >>> moments.mean.tolist(), moments.variance(correction=1).tolist()
    ([3.0], [7.0])

    Attributes:
        count: number of tensors.
        mean: their mean, float64.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Count one more tensor, of the shape of the others."""
        self.count += 1
        away = to_float64(values) - self.mean
        self.mean = self.mean + away / self.count
        self._squares = self._squares + away * (to_float64(values) - self.mean)

    def variance(self, *, correction: int) -> Tensor:
        """Sum of squared deviations over count - correction."""
        return self._squares / (self.count - correction)
