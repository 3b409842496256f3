"""Sessions of a run that end on the way: in a process that kills itself, or as the states of the disk that a kill would leave."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from camdbench.core.registry import load_plugin
from camdbench.runner import config, partial_results
from camdbench.runner import run as run_module


def run(chunk_size: int = 32, **request: Any) -> pd.DataFrame:
    """`camdbench.run` with chunks of that size; what is computed is written at once."""

    def check(*arguments: Any) -> config.Request:
        return replace(config.check_config(*arguments), chunk_size=chunk_size)

    with patch.object(run_module, "check_config", check), patch.object(partial_results, "SAVE_EVERY", 0.0):
        return run_module.run(**request)


def run_and_die(step: int | None, plugin: Path | None = None, **request: Any) -> None:
    """Run, and kill this process before that step on the disk, unless the plug-in does so."""
    if plugin is not None:
        load_plugin(plugin)

    def die(number: int, path: Path) -> None:
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with _watched(die):
        run(**request)


@contextmanager
def photographed(out: Path, folder: Path) -> Generator[list[Path]]:
    """Copies in `folder` of the run directory `out` before each step on the disk: what a kill at that moment would leave.

    The file that is about to get its name is cut to half, as a kill during its writing leaves it.
    """
    copies = list[Path]()

    def copy(number: int, path: Path) -> None:
        copies.append(shutil.copytree(out, folder / f"{number:03d}"))
        if path.suffix == ".tmp":
            half = copies[-1] / path.relative_to(out)
            half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])

    with _watched(copy):
        yield copies


@contextmanager
def _watched(see: Any) -> Generator[None]:
    """Calls `see` with a number, from 0, and the file before each file is renamed, linked or removed."""
    number = 0

    def wrap(name: str) -> Any:
        done = getattr(Path, name)

        def wrapped(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal number
            if self.exists():
                see(number, self)
                number += 1
            return done(self, *arguments, **options)

        return patch.object(Path, name, wrapped)

    def link(temporary: Path, path: Path, link: Any = os.link) -> None:
        nonlocal number
        see(number, temporary)
        number += 1
        link(temporary, path)

    with wrap("replace"), wrap("unlink"), patch.object(os, "link", link):
        yield
