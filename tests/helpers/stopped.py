"""A command in a process that imports it by name, to which tests send signals."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from camdbench.cli.main import main


def start(words: list[str], folder: Path) -> None:
    """Run a command in a process of its own session, whose output is a file."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell or nohup may have made the tests ignore them
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.chdir(folder)
    multiprocessing.set_start_method("fork", force=True)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    main(words)
