"""Class probabilities as log-odds, accurate where float32 probabilities saturate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def log_odds(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-odds log p - log(1 - p) of the target class (B,), float64 on the CPU, from logits (B, C) and classes (B,).

    1 - p is summed over the other classes, which avoids cancellation: at a logit of 40 above the others, where a float32
    softmax is exactly 1, the log-odds are 40. A logit of +inf (overflow) gives NaN; -inf excludes a class.

    >>> log_odds(torch.tensor([[40.0, 0.0]]), torch.tensor([0])).item()
    40.0
    """
    exact = logits.detach().to("cpu", torch.float64)
    index = targets.to("cpu")[:, None]
    others = exact.scatter(1, index, -torch.inf)
    odds = exact.gather(1, index).squeeze(1) - others.logsumexp(1)
    return torch.where(exact.isposinf().any(1), torch.nan, odds)


def drop(before: Tensor, after: Tensor) -> Tensor:
    """Relative drop max(0, p - o) / p in [0, 1], (B,), from the log-odds of p and o (B,).

    >>> round(drop(torch.tensor([0.0]), torch.tensor([-1.0986122886681098])).item(), 6)  # p = 1/2, o = 1/4
    0.5
    """
    ratio = -torch.expm1(F.logsigmoid(after) - F.logsigmoid(before))
    return torch.where(after < before, ratio, _zero_or_nan(before, after))


def gain(before: Tensor, after: Tensor) -> Tensor:
    """Relative gain max(0, o - p) / (1 - p) in [0, 1], (B,), from the log-odds of p and o (B,).

    >>> round(gain(torch.tensor([0.0]), torch.tensor([1.0986122886681098])).item(), 6)  # p = 1/2, o = 3/4
    0.5
    """
    return drop(-before, -after)


def increase(before: Tensor, after: Tensor, tolerance: float = 0.0) -> Tensor:
    """1 if o > p + tolerance, else 0, (B,), from the log-odds of p and o (B,).

    >>> increase(torch.tensor([0.0, 0.0]), torch.tensor([0.1, 0.0])).tolist()
    [1.0, 0.0]
    """
    larger = after > before if tolerance == 0 else after.sigmoid() > before.sigmoid() + tolerance
    return larger.to(before.dtype) + _zero_or_nan(before, after)


def _zero_or_nan(before: Tensor, after: Tensor) -> Tensor:
    """0, or NaN if an input is NaN."""
    return torch.where(before.isnan() | after.isnan(), torch.nan, torch.zeros_like(before))
