"""Precision of passes on altered images."""

from __future__ import annotations

from typing import Literal, get_args

from camdbench.core.errors import UsageError

Precision = Literal["fp32", "bf16", "bf16-all"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check_precision(precision: str) -> Precision:
    """The precision, validated.

    >>> check_precision("bf16")
    'bf16'

    Raises:
        UsageError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}: expected {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    return precision
