"""Signals that stop a command: the first one is an interrupt, after which finished work is saved; the second one ends it at once."""

from __future__ import annotations

import signal
import time
from types import FrameType

import click

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a batch system, a closed terminal; Windows lacks the last
_SAME_STOP = 0.2  # seconds; tools such as timeout send the signal to a process and then to its group


class Stopped(KeyboardInterrupt):
    """A signal stops the command.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def catch_stops() -> None:
    """Let each signal that stops a command raise `Stopped`, unless it is ignored, as by nohup."""
    for number in _caught():
        signal.signal(number, _stop)


def stop_of(error: BaseException) -> int | None:
    """Number of the signal that has stopped the command; None if the error is something else.

    An interrupt counts also behind an error of the output, such as of a terminal that was closed.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt):
            return seen.number if isinstance(seen, Stopped) else signal.SIGINT
        if not isinstance(seen, click.exceptions.Abort | OSError):
            return None
        seen = seen.__cause__ or seen.__context__
    return signal.SIGINT if isinstance(error, click.exceptions.Abort) else None


def _caught() -> list[signal.Signals]:
    known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def _nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    caught = _caught()
    for own in caught:
        signal.signal(own, _nothing)  # not SIG_IGN: Python complains of a signal that comes between
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, _nothing)  # a process that loads images may get the same signal; torch would raise
    time.sleep(_SAME_STOP)
    for own in caught:
        signal.signal(own, signal.SIG_DFL)
    raise Stopped(number)
