"""Numbers of passes through a network."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from typing import Protocol


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


class CountsPasses(Protocol):
    """A classifier, as far as its passes are concerned."""

    passes: PassCounts


@contextmanager
def copy_counted(copy: CountsPasses, owner: CountsPasses) -> Generator[None]:
    """Count the passes of a copy for its owner too; those of the owner itself are counted once."""
    before = copy.passes
    try:
        yield
    finally:
        if copy is not owner:
            owner.passes += copy.passes - before
