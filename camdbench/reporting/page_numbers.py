"""Numbers as a page holds them."""

from __future__ import annotations

import math

_DIGITS = 4  # significant ones


def short_number(value: float) -> float | None:
    """Round to four significant digits; None for NaN and infinity.

    >>> short_number(12.34567), short_number(0.000123456), short_number(float("nan"))
    (12.35, 0.0001235, None)
    """
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
