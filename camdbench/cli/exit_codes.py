"""One line on stderr and an exit code for every way in which a command can end."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress

import click

from camdbench.cli.stops import stop_of
from camdbench.core.errors import CamdbenchError
from camdbench.core.signs import visible
from camdbench.core.written_files import WRONG_PATH

FAILURE, WRONG_USAGE = 1, 2
_SHOWN = 200  # characters of a path


def report(error: BaseException, *, verbose: bool) -> int:
    """Print an exception as one line, with its traceback if verbose; return the exit code."""
    if isinstance(error, SystemExit | OSError):
        _discard_unwritable_output()
    if isinstance(error, SystemExit):  # of click and rich, for a reader such as `head` that has closed the pipe
        return error.code if isinstance(error.code, int) else FAILURE
    if isinstance(error, OSError) and error.errno == errno.EPIPE and stop_of(error) is None:
        return FAILURE
    line, code = _describe(error)
    if verbose and (shown := error.__cause__ if isinstance(error, CamdbenchError) else error) is not None and code == FAILURE:
        traceback.print_exception(shown)
    with suppress(OSError):  # of a terminal that is closed
        click.echo(visible(line), err=True)
    return code


def _discard_unwritable_output() -> None:
    """Let stdout end in nothing if what it holds cannot be written, as each later attempt would fail again."""
    try:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _describe(error: BaseException) -> tuple[str, int]:
    if isinstance(error, click.exceptions.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes it for the end of a dialogue
    if (stop := stop_of(error)) is not None:
        return "interrupted: finished work is kept; run the same command again to resume", 128 + stop
    if isinstance(error, click.ClickException):
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else ""
        more = f" (see: {where} --help)" if where else ""
        return f"Error: {' '.join(error.format_message().split())}{more}", error.exit_code
    if isinstance(error, CamdbenchError):
        return f"Error: {error}", error.exit_code
    if isinstance(error, OSError):
        return f"Error: {_os_line(error)}", WRONG_USAGE if error.errno in WRONG_PATH else FAILURE
    if isinstance(error, MemoryError):
        return "Error: out of memory; use fewer images (--limit) or smaller batches (--batch-size)", FAILURE
    return f"Error: unexpected {type(error).__name__}: {error} (traceback: -v)", FAILURE


def _os_line(error: OSError) -> str:
    """Describe an error of the operating system: path, reason and fix."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    name = "output" if error.filename is None else str(error.filename)
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    fix = "give another path" if error.errno in WRONG_PATH else "free space or choose another folder"
    return f"{shown}: cannot be read or written ({reason}); {fix}"
