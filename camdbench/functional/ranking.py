"""Where a class stands among all classes of a network."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_of(logits: Tensor, classes: Tensor) -> Tensor:
    """How many classes stand before the given one, (B,) float64; NaN where a logit is NaN or +inf.

    Of equal logits the class with the smaller index stands first, so rank 0 is what an arg-max predicts.

    >>> rank_of(torch.tensor([[3.0, 1.0, 3.0]]).expand(3, 3), torch.arange(3)).tolist()
    [0.0, 2.0, 1.0]

    Args:
        logits: (B, C).
        classes: (B,).
    """
    own = logits.gather(1, classes[:, None])
    earlier = torch.arange(logits.shape[1], device=logits.device) < classes[:, None]
    count = ((logits > own) | ((logits == own) & earlier)).sum(1)
    return torch.where((logits.isnan() | logits.isposinf()).any(1), torch.nan, count).to("cpu", torch.float64)


def among_first(logits: Tensor, classes: Tensor, count: int = 1) -> Tensor:
    """1 where the given class is among the first `count`, else 0, (B,) float64; NaN where a logit is NaN or +inf.

    >>> among_first(torch.tensor([[3.0, 1.0, 2.0]]).expand(3, 3), torch.arange(3), 2).tolist()
    [1.0, 0.0, 1.0]
    """
    rank = rank_of(logits, classes)
    return torch.where(rank.isnan(), torch.nan, (rank < count).to(rank.dtype))
