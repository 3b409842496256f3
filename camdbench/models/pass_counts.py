"""Numbers of passes through a network."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class PassCounts:
    """Numbers of images passed through the whole network and through its tail."""

    forward: int = 0
    backward: int = 0
    tail_forward: int = 0
    tail_backward: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: PassCounts) -> PassCounts:
        return PassCounts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def total(self) -> int:
        """Sum of all passes."""
        return sum(astuple(self))
