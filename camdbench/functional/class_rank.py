"""Rank of a class among the logits, top-k accuracy, and average precision."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_of(logits: Tensor, classes: Tensor) -> Tensor:
    """Rank of a class, (B,) float64, 0 for the arg-max; NaN if a logit is NaN or +inf.

    Of equal logits the smaller class index ranks first.

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
    """Top-k accuracy: 1 if the rank of the class is below `count`, else 0, (B,) float64; NaN if a logit is NaN or +inf.

    >>> in_top_k(torch.tensor([[3.0, 1.0, 2.0]]).expand(3, 3), torch.arange(3), 2).tolist()
    [1.0, 0.0, 1.0]
    """
    rank = rank_of(logits, classes)
    return torch.where(rank.isnan(), torch.nan, (rank < count).to(rank.dtype))


def average_precisions(scores: Tensor, truth: Tensor) -> Tensor:
    """Average precision over the classes of each image, (B,) in (0, 1]; NaN without true classes or if a score is NaN or +inf.

    Mean over the true classes p of the fraction of true classes among all classes scored at least as high as p.

    >>> average_precisions(torch.tensor([[0.1, 0.7, 0.2, 0.9]]), torch.tensor([[False, True, True, False]])).round(decimals=4).item()
    0.5833

    Args:
        scores: (B, C).
        truth: (B, C) bool.
    """
    count, true = scores.shape[1], truth.sum(1, keepdim=True)
    seen, found = (
        count - torch.searchsorted(each.sort(1).values, scores.contiguous()) for each in (scores, scores.masked_fill(~truth, -torch.inf))
    )
    precision = found.minimum(true) / seen  # a score of -inf would count the false classes too
    values = (precision * truth).sum(1) / true.squeeze(1)
    return torch.where((scores.isnan() | scores.isposinf()).any(1), torch.nan, values).to("cpu", torch.float64)
