"""Numbers of passes through a network."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass


@dataclass(frozen=True)
class PassCounts:
    """Numbers of images passed through the whole network and through its tail."""

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        forward, backward = self.forward + other.forward, self.backward + other.backward
        return PassCounts(forward, backward, self.tail_forward + other.tail_forward, self.tail_backward + other.tail_backward)

    def __sub__(self, other: PassCounts) -> PassCounts:
        forward, backward = self.forward - other.forward, self.backward - other.backward
        return PassCounts(forward, backward, self.tail_forward - other.tail_forward, self.tail_backward - other.tail_backward)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in asdict(self).items() if count) or "none"

    def total(self) -> int:
        """Sum of all passes."""
        return sum(astuple(self))
