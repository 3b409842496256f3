"""Wall and processor time of one call."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, process_time
from typing import NamedTuple


class Measured(NamedTuple):
    """Seconds of one contestant in one round."""

    wall: float
    processor: float


def clocked(contestant: Callable[[], object]) -> Measured:
    """Run and time a contestant."""
    wall, processor = perf_counter(), process_time()
    contestant()
    return Measured(perf_counter() - wall, process_time() - processor)
