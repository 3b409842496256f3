"""Order of values within rows: on a CPU by NumPy, whose vector instructions sort in a fraction of PyTorch's time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LOW_BITS = 2**32 - 1


def ordered_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values (B, N) in ascending order, NaN last, and the place (B, N) of each in its row; equal values in any order.

    >>> [part.tolist() for part in ordered_rows(torch.tensor([[0.5, 0.1, 0.9]]))]
    [[[0.10000000149011612, 0.5, 0.8999999761581421]], [[1, 0, 2]]]
    """
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return torch.sort(values, 1)
    order = torch.from_numpy(np.argsort(values.detach().numpy(), axis=1))
    return values.gather(1, order), order


def order_of_pairs(high: Tensor, low: Tensor) -> Tensor:
    """The second numbers (B, N) of pairs in ascending order, by the first number and then by the second; int64.

    Args:
        high: (B, N) int64 in [-2^31, 2^31).
        low: (B, N) int64 in [0, 2^32).

    >>> order_of_pairs(torch.tensor([[1, -1, 1]]), torch.tensor([[7, 9, 3]])).tolist()
    [[9, 3, 7]]
    """
    pairs = (high << 32) | low
    ordered = torch.from_numpy(np.sort(pairs.numpy(), axis=1)) if pairs.device.type == "cpu" else pairs.sort(1).values
    return ordered & _LOW_BITS
