"""Progress of a run: the callbacks, and which display of them fits this process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from camdbench.core.errors import UsageError


@runtime_checkable
class Progress(Protocol):
    """Callbacks of a run; a job is one explainer on one chunk of images, a unit all explainers on one chunk."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Called before the first unit with the run directory, the number of jobs and the number of finished jobs."""
        ...

    def working(self, jobs: float, what: str) -> None:
        """Called during a unit, before each explainer and metric of a batch, with its number of finished jobs and what is computed."""
        ...

    def advance(self, jobs: int, what: str) -> None:
        """Called after each unit with its number of jobs and a description."""
        ...


class NullProgress:
    """Ignores all progress updates."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Do nothing."""

    def working(self, jobs: float, what: str) -> None:
        """Do nothing."""

    def advance(self, jobs: int, what: str) -> None:
        """Do nothing."""


_LOGGER = logging.getLogger("camdbench")


class LogProgress:
    """Logs progress updates at level INFO to the logger `camdbench`; Python shows none of them by default."""

    def start(self, root: Path, total: int, done: int) -> None:
        """Log the run directory and the number of jobs."""
        _LOGGER.info("%s: %d jobs, %d already done", root, total, done)

    def working(self, jobs: float, what: str) -> None:
        """Log them at level DEBUG."""
        _LOGGER.debug("%.1f jobs of this unit done, now %s", jobs, what)

    def advance(self, jobs: int, what: str) -> None:
        """Log finished jobs."""
        _LOGGER.info("%d jobs done: %s", jobs, what)


@contextmanager
def showing(progress: Progress | bool | None = None) -> Generator[Progress]:
    """The callbacks of a run.

    Args:
        progress: callbacks; True for a bar, or lines where there is no terminal; False for nothing; None for a bar in a notebook or
            on a terminal, else the logger.

    Raises:
        UsageError: the callbacks lack a method.
    """
    if progress is None and not in_notebook() and (sys.stderr is None or not sys.stderr.isatty()):
        progress = LogProgress()
    if progress is not None and not isinstance(progress, bool):
        if not isinstance(progress, Progress):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"progress = {progress!r}: give True, False or an object with the methods start, working and advance")
        yield progress
    elif progress is False:
        yield NullProgress()
    elif in_notebook():
        from camdbench.core.progress_bar import NotebookBar

        yield NotebookBar()
    else:
        from camdbench.core.progress_bar import Bar

        with Bar(quiet=False) as bar:
            yield bar


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; imports nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
