"""The log of a run for TensorBoard, where somebody has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.trainer.run_state import Epoch


def board(folder: str | Path) -> Callable[[Epoch], None]:
    """What writes every line of the log into a folder that TensorBoard reads, one curve for each column.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--tensorboard needs the package of that name: pip install tensorboard") from None
    writer = SummaryWriter(str(folder))

    def write(line: Epoch) -> None:
        for name, value in line.flat().items():
            if name != "epoch" and math.isfinite(value):
                writer.add_scalar(name, value, line.epoch)
        writer.flush()

    return write
