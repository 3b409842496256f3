"""Training log for TensorBoard."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camdbench.core.errors import UsageError
from camdbench.trainer.run_state import Epoch


class TensorBoardLog:
    """Writes scalars and images for TensorBoard.

    Args:
        folder: folder of the log, created if missing.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--tensorboard: the package tensorboard is not installed; run: pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder))

    def line(self, line: Epoch) -> None:
        """Write a line of the log, one scalar per column."""
        for name, value in line.flat().items():
            if name != "epoch" and math.isfinite(value):
                self._writer.add_scalar(name, value, line.epoch)
        self._writer.flush()

    def image(self, name: str, epoch: int, pixels: NDArray[np.uint8]) -> None:
        """Write an image (H, W, 3)."""
        self._writer.add_image(name, pixels, epoch, dataformats="HWC")
        self._writer.flush()
