"""Processes that end with the process that has started them, also if that one is killed."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import connection
from threading import Thread


def end_with_parent(number: int = 0) -> None:
    """Let this process end as soon as the one that started it has ended.

    torch's own watch compares the number of the parent, which is a server's with the start method `forkserver`, Python's default
    on Linux since 3.14: readers of images then outlive a killed run without end.

    Args:
        number: ignored; the number of a reader of images, given by torch.
    """
    del number
    Thread(target=_wait, name="camdbench parent", daemon=True).start()


def _wait() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
