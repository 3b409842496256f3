"""How training goes, on stderr: a live bar within the epoch on a terminal, and a line for every epoch everywhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from camdbench.trainer.loop import Tick
    from camdbench.trainer.run_state import Epoch


class EpochBar:
    """Shows the steps of an epoch, and what came out of the ones before."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()
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

    def tick(self, tick: Tick) -> None:
        """After a step."""
        if tick.step == 1:
            self._progress.reset(self._task, total=tick.steps)
        text = f"epoch {tick.epoch}/{tick.epochs}  loss {tick.loss:.4g}"
        self._progress.update(self._task, completed=tick.step, description=text)

    def line(self, epoch: Epoch) -> None:
        """After an epoch."""
        if self._quiet:
            return
        parts = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in epoch.flat().items())
        text = "  ".join(parts)
        if self._live:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text, err=True)
