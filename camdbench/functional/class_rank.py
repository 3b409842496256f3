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


def in_top_k(logits: Tensor, classes: Tensor, count: int = 1) -> Tensor:
    """1 where the given class is among the first `count`, else 0, (B,) float64; NaN where a logit is NaN or +inf.

    >>> in_top_k(torch.tensor([[3.0, 1.0, 2.0]]).expand(3, 3), torch.arange(3), 2).tolist()
    [1.0, 0.0, 1.0]
    """
    rank = rank_of(logits, classes)
    return torch.where(rank.isnan(), torch.nan, (rank < count).to(rank.dtype))


def average_precisions(scores: Tensor, truth: Tensor) -> Tensor:
    """The average precision of the classes of each image, (B,) in (0, 1]; NaN where no class is true or a score is NaN or +inf.

    The mean over the true classes p of the share of true classes among all that score at least as high as p.

    >>> average_precisions(torch.tensor([[0.1, 0.7, 0.2, 0.9]]), torch.tensor([[False, True, True, False]])).round(decimals=4).item()
    0.5833

    Args:
        scores: (B, C).
        truth: (B, C) bool.
    """
    count, true = scores.shape[1], truth.sum(1, keepdim=True)
    seen, found = (
        count - torch.searchsorted(held.sort(1).values, scores.contiguous()) for held in (scores, scores.masked_fill(~truth, -torch.inf))
    )
    precision = found.minimum(true) / seen  # at a score of -inf the false ones would be counted too
    values = (precision * truth).sum(1) / true.squeeze(1)
    return torch.where((scores.isnan() | scores.isposinf()).any(1), torch.nan, values).to("cpu", torch.float64)
