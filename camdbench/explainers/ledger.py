"""What computations cost, and what each reader of shared parts would have paid alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from camdbench.models.classifier import Passes


@dataclass(frozen=True)
class Cost:
    """What a computation took: image passes and seconds."""

    passes: Passes = Passes()
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.passes + other.passes, self.seconds + other.seconds)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.passes - other.passes, self.seconds - other.seconds)


@dataclass
class Ledger:
    """What the shared parts of a batch's traces cost, and which of them have been read since somebody last asked."""

    costs: dict[tuple[str | None, str], Cost] = field(default_factory=dict[tuple[str | None, str], Cost])
    read: set[tuple[str | None, str]] = field(default_factory=set[tuple[str | None, str]])

    def spent(self) -> Cost:
        """Everything that the parts have cost so far."""
        return sum(self.costs.values(), Cost())

    def reads(self) -> Cost:
        """What the parts read since the last call would have cost alone; the list of reads starts anew."""
        cost = sum((self.costs[key] for key in self.read), Cost())
        self.read.clear()
        return cost
