"""Processes that begin with everything imported: a server imports once, and each process is a fork of it."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

_HEAVY = ("torchvision", "pandas", "pyarrow.dataset", "camdbench.runner.executors", "camdbench.datasets.shortcuts.dataset")


def forkserver(module: str) -> ForkServerContext:
    """A context whose processes find that module, and what runs and trainings import, loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_HEAVY, "accelerate", "camdbench.trainer.loop", module])
    return context


class Ended(NamedTuple):
    """Exit code and output of a command."""

    code: int | None
    out: str
    err: str


def command_elsewhere(words: list[str], folder: Path) -> Ended:
    """`camdbench` with these words in another process and that folder; it knows nothing of what the tests have imported or registered."""
    with TemporaryDirectory() as place:
        files = [Path(place) / name for name in ("out", "err")]
        process = forkserver(__name__).Process(target=_carry_out, args=(words, folder, *files))
        process.start()
        process.join(100)
        assert process.exitcode is not None, f"camdbench {' '.join(words)} takes more than 100 seconds"
        return Ended(process.exitcode, *(file.read_text(encoding="utf-8") for file in files))


def _carry_out(words: list[str], folder: Path, *files: Path) -> None:
    from camdbench.cli.main import main

    os.chdir(folder)
    for stream, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    main(words)
