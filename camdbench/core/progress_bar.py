"""Progress of a run: a live bar on a terminal, one updated line in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from camdbench.core.signs import visible

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_UPDATES = 0.2  # of a notebook's output


class LiveBar:
    """A live bar on a terminal, silent elsewhere.

    Attributes:
        quiet: whether all output is suppressed.
        live: whether stderr is a terminal.
        progress: rich's progress display.
        task: id of its only task.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet, self.live = quiet, sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=Console(stderr=True), disable=quiet or not self.live)
        self.task = self.progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()


class Bar(LiveBar):
    """Number of finished jobs of a run; a job is one explainer on one chunk of images."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._total = self._done = 0
        self._last_line = monotonic()

    def start(self, root: Path, total: int, done: int) -> None:
        """Show the run directory and the number of jobs."""
        self._total, self._done = total, done
        self.progress.update(self.task, total=total, completed=done, description=visible(str(root)))
        self._line(f"{root}: {total} jobs, {done} already done")

    def working(self, jobs: float, what: str) -> None:
        """Show the finished jobs of an unfinished unit, and what is computed."""
        self._show(self._done + jobs, what)

    def advance(self, jobs: int, what: str) -> None:
        """Add finished jobs."""
        self._done += jobs
        self._show(self._done, what, always=self._done == self._total)

    def _show(self, done: float, what: str, *, always: bool = False) -> None:
        self.progress.update(self.task, completed=done, description=visible(what))
        if always or monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._line(f"{int(done)}/{self._total} jobs: {what}")

    def _line(self, text: str) -> None:
        if not self.quiet and not self.live:
            click.echo(visible(text), err=True)
            self._last_line = monotonic()


class NotebookBar:
    """Number of finished jobs in one cell output, as plain HTML without widgets."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        self._html: Any = HTML
        self._total = self._done = 0
        self._last_update = monotonic()
        self._output: Any = display(HTML(""), display_id=True)

    def start(self, root: Path, total: int, done: int) -> None:
        """Show the run directory and the number of jobs."""
        self._total, self._done = total, done
        self._show(done, str(root))

    def working(self, jobs: float, what: str) -> None:
        """Show the finished jobs of an unfinished unit, and what is computed."""
        if monotonic() - self._last_update >= _SECONDS_BETWEEN_UPDATES:
            self._show(self._done + jobs, what)

    def advance(self, jobs: int, what: str) -> None:
        """Add finished jobs."""
        self._done += jobs
        self._show(self._done, what)

    def _show(self, done: float, text: str) -> None:
        bar = f'<progress value="{round(done, 2)}" max="{max(self._total, 1)}"></progress>'
        self._output.update(self._html(f"{bar} {int(done)}/{self._total} jobs: {html.escape(visible(text))}"))
        self._last_update = monotonic()
