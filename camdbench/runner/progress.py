"""Who is told how far a run has come."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Told about a run as it goes; a job is one explainer on one chunk of images."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Before the first unit: where results go, the number of jobs, and how many were there already."""
        ...

    def advance(self, jobs: int, what: str) -> None:
        """After every unit."""
        ...


class Silent:
    """Tells nobody."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, jobs: int, what: str) -> None:
        """Say nothing."""
