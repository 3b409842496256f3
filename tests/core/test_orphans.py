"""A process whose parent is killed ends, with every start method."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from helpers.orphaned import parent


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_it_ends(method: str, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=parent, args=(tmp_path, method))
    process.start()
    deadline = time.monotonic() + 120
    while not (found := [int(file.name) for file in tmp_path.iterdir()]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    while is_alive(found[0]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(number: int) -> bool:
    """Whether a process runs; one that has ended and is not asked for its end does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
