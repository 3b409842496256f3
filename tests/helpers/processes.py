"""Processes that begin with everything imported: a server imports once, and each process is a fork of it."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

_HEAVY = ("torchvision", "pandas", "pyarrow.dataset", "camdbench.runner.executors", "camdbench.datasets.shortcuts.dataset")


def forkserver(module: str) -> ForkServerContext:
    """A context whose processes find that module, and what runs and trainings import, loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_HEAVY, "accelerate", "camdbench.trainer.loop", module])
    return context
