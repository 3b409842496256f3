"""Conclusions about metrics: follows, against or open, and the reasons for open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

Conclusion = Literal["follows", "against", "open"]
FEWEST = 5
"""Explainers below which even the perfect order is no result: of 4 explainers, 2 of the 24 orders have tau = 1 or -1, p = 0.08."""
FOOLED = ", fooled"


def side_of_zero(low: float, high: float) -> Conclusion:
    """Side of an interval of tau.

    >>> side_of_zero(0.1, 0.7), side_of_zero(-0.7, -0.1), side_of_zero(-0.1, 0.7), side_of_zero(float("nan"), 1)
    ('follows', 'against', 'open', 'open')
    """
    return "follows" if low > 0 else "against" if high < 0 else "open"


def conclude(intervals: Mapping[str, tuple[float, float]], explainers: int, reason: str = "") -> tuple[Conclusion, str]:
    """Conclusion from the intervals of tau under the main truth and under its variants: other scores, halves of the draws.

    A conclusion stands only if all variants give the same one.

    Args:
        intervals: lower and upper end per variant, the main one first.
        explainers: distinct explainers.
        reason: why tau is undefined, if it is.

    Returns:
        The conclusion, and the reason if it is open.
    """
    main, *others = intervals
    side = side_of_zero(*intervals[main])
    if np.isnan(intervals[main]).any():
        return "open", reason or "tau has no interval"
    if explainers < FEWEST:
        return "open", f"{explainers} distinct explainers; {FEWEST} are the fewest that can differ from chance"
    if side == "open":
        return "open", "the interval of tau contains 0"
    differing = [f"{name}: {other}" for name in others if (other := side_of_zero(*intervals[name])) != side]
    if differing:
        return "open", f"{main}: {side}, but {', '.join(differing)}"
    return side, ""
