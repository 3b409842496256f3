"""Progress on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class Bar:
    """Shows how many jobs of a run are done; a job is one explainer on one chunk of images."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()
        self._total = self._done = 0
        self._said = monotonic()
        columns = (
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=quiet or not self._live)
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def start(self, root: Path, total: int, done: int) -> None:
        """Show the number of jobs and where results go."""
        self._total, self._done = total, done
        self._progress.update(self._task, total=total, completed=done, description=str(root))
        self._line(f"{root}: {total} jobs, {done} done already")

    def advance(self, jobs: int, what: str) -> None:
        """Show that jobs are done."""
        self._done += jobs
        self._progress.update(self._task, completed=self._done, description=what)
        if monotonic() - self._said >= _SECONDS_BETWEEN_LINES or self._done == self._total:
            self._line(f"{self._done}/{self._total} jobs: {what}")

    def _line(self, text: str) -> None:
        if not self._quiet and not self._live:
            click.echo(text, err=True)
            self._said = monotonic()
