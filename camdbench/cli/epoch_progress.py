"""Training progress on stderr: a live bar during an epoch on a terminal, and a line after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from camdbench.cli.console import echo
from camdbench.core.progress_bar import LiveBar

if TYPE_CHECKING:
    from camdbench.trainer.loop import StepProgress
    from camdbench.trainer.run_state import Epoch


class EpochBar(LiveBar):
    """Shows the steps of an epoch and a line for every finished epoch."""

    def tick(self, tick: StepProgress) -> None:
        """Update the bar after a step."""
        if tick.step == 1:
            self.progress.reset(self.task, total=tick.steps)
        text = f"epoch {tick.epoch}/{tick.epochs}  loss {tick.loss:.4g}"
        self.progress.update(self.task, completed=tick.step, description=text)

    def line(self, epoch: Epoch) -> None:
        """Print a line after an epoch."""
        if self.quiet:
            return
        text = format_numbers(epoch.flat())
        if self.live:
            self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            echo(text, err=True)


def format_numbers(numbers: Mapping[str, object]) -> str:
    """Format the numbers of an epoch in one line.

    >>> format_numbers({"epoch": 1, "loss": 0.123456})
    'epoch 1  loss 0.1235'
    """
    return "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items())
