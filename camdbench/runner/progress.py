"""Progress callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Callbacks of a run; a job is one explainer on one chunk of images."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Called before the first unit, with the run directory, the number of jobs and how many exist already."""
        ...

    def advance(self, jobs: int, what: str) -> None:
        """Called after each unit."""
        ...


class NullProgress:
    """Ignores all progress updates."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Do nothing."""

    def advance(self, jobs: int, what: str) -> None:
        """Do nothing."""
