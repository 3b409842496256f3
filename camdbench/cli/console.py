"""Output that accepts any text, whatever the encoding of the console, and sends a terminal no control characters."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import click

from camdbench.core.signs import ASCII, HANDLER, visible


@contextmanager
def any_encoding() -> Generator[None]:
    """Replace what the encoding of stdout or stderr lacks by ASCII signs or escape sequences, in place of an error."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [(stream.encoding, stream.errors) for stream in streams]
    for stream, (encoding, _) in zip(streams, before, strict=True):
        stream.reconfigure(encoding=ASCII if codecs.lookup(encoding).name == "ascii" else encoding, errors=HANDLER)
    try:
        yield
    finally:
        for stream, (encoding, errors) in zip(streams, before, strict=True):
            with suppress(OSError):  # of what the stream still holds; the error of the command comes first
                if not stream.closed:
                    stream.reconfigure(encoding=encoding, errors=errors)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print lines in which control characters, as names of files and classes may have, are visible."""
    click.echo("\n".join(map(visible, str(text).split("\n"))), err=err)
