"""Counts image passes and seconds; attributes shared computations to every explainer that uses them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from camdbench.models.pass_counts import PassCounts


@dataclass(frozen=True)
class Usage:
    """Image passes and seconds of a computation."""

    passes: PassCounts = field(default_factory=PassCounts)
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.passes + other.passes, self.seconds + other.seconds)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.passes - other.passes, self.seconds - other.seconds)


@dataclass
class UsageMeter:
    """Usage of the cached parts of a batch's traces, and the parts read since the last call."""

    costs: dict[tuple[str | None, str], Usage] = field(default_factory=dict[tuple[str | None, str], Usage])
    read: set[tuple[str | None, str]] = field(default_factory=set[tuple[str | None, str]])

    def spent(self) -> Usage:
        """Usage of all parts computed so far."""
        return sum(self.costs.values(), Usage())

    def usage_since_last_call(self) -> Usage:
        """Usage of the parts read since the last call, as if computed alone; resets the reads."""
        cost = self.cost(self.read)
        self.read.clear()
        return cost

    def cost(self, keys: Iterable[tuple[str | None, str]]) -> Usage:
        """Usage of some parts."""
        return sum((self.costs[key] for key in keys), Usage())
