"""A parent and its child, for processes that import them by name."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from camdbench.core.orphans import end_with_parent


def child(folder: Path) -> None:
    """Say that it runs, and wait."""
    end_with_parent()
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def parent(folder: Path, method: str) -> None:
    """Start a child, and wait for it."""
    context = multiprocessing.get_context(method)
    process = context.Process(target=child, args=(folder,))  # pyright: ignore[reportAttributeAccessIssue]
    process.start()
    process.join()
