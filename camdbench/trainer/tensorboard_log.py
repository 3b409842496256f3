"""Training log for TensorBoard."""

from __future__ import annotations

import math
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camdbench.core.errors import UsageError
from camdbench.core.written_files import make_folder, writing
from camdbench.trainer.run_state import Epoch


class TensorBoardLog:
    """Writes scalars and images for TensorBoard.

    torch's writer has a thread, in which a full disk ends with a traceback; here an event is written where it is made.

    Args:
        folder: folder of the log, created if missing.

    Raises:
        UsageError: TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue] - made when it is imported
            from tensorboard.summary.writer.record_writer import RecordWriter
            from torch.utils.tensorboard import summary
        except ImportError:
            raise UsageError("--tensorboard: the package tensorboard is not installed; run: pip install tensorboard") from None
        make_folder(Path(folder), "--tensorboard")
        self._file = Path(folder) / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{uuid.uuid4().hex[:8]}"
        self._event: Any = Event
        self._records: Any = RecordWriter
        self._summary: Any = summary
        self._write(file_version="brain.Event:2")

    def line(self, line: Epoch) -> None:
        """Write a line of the log, one scalar per column.

        Raises:
            UnwritableFile: the disk is full or damaged; so does `image`.
        """
        for name, value in line.flat().items():
            if name != "epoch" and math.isfinite(value):
                self._write(step=line.epoch, summary=self._summary.scalar(name, value))

    def image(self, name: str, epoch: int, pixels: NDArray[np.uint8]) -> None:
        """Write an image (H, W, 3)."""
        self._write(step=epoch, summary=self._summary.image(name, pixels, dataformats="HWC"))

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        with writing(self._file, resumes=True), self._file.open("ab") as file:
            self._records(file).write(event.SerializeToString())
