"""Disks that are full, damaged or read-only, made within this process."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from camdbench.core import written_files

_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2  # the rights by which root ignores permissions
_CAPABILITY_VERSION = 0x20080522


@contextmanager
def full_disk(start: int | None = None) -> Generator[list[Path]]:
    """The files that are written, in order; from number `start` on their content goes to /dev/full, which has no space."""
    seen, before = list[Path](), written_files._temporary

    @contextmanager
    def temporary(path: Path) -> Generator[Path]:
        with before(path) as own:
            if start is not None and len(seen) >= start:
                own.symlink_to("/dev/full")
            seen.append(path)
            yield own

    with patch.object(written_files, "_temporary", temporary):
        yield seen


@contextmanager
def failing(call: str, number: int, start: int, below: Path) -> Generator[list[int]]:
    """From call `start` on, counted in the list, `os.CALL` fails with an error of that number; calls outside a folder are not counted."""
    done, count = getattr(os, call), [0]

    def wrapped(first: Any, *arguments: Any, **options: Any) -> Any:
        path = Path(f"/proc/self/fd/{first}").resolve() if isinstance(first, int) else Path(first).absolute()
        if path.is_relative_to(below):
            count[0] += 1
            if count[0] > start:
                raise OSError(number, os.strerror(number), str(first))
        return done(first, *arguments, **options)

    with patch.object(os, call, wrapped):
        yield count


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """No file may grow beyond `size` bytes: the system itself refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def without_privileges() -> Generator[None]:
    """Permissions of files hold for this thread, also if it belongs to root."""
    if os.geteuid():
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, each twice 32 bits
    if library.capget(header, before):
        raise OSError(ctypes.get_errno(), "capget")
    changed = (ctypes.c_uint32 * 6)(*before)
    changed[0] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    if library.capset(header, changed):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        library.capset(header, before)


@contextmanager
def read_only(*folders: Path) -> Generator[None]:
    """Folders, with all below them, that cannot be written; files in them stay readable."""
    below = {path: path.stat().st_mode for folder in folders for path in (folder, *folder.rglob("*"))}
    for path, mode in below.items():
        path.chmod(mode & ~0o222)
    try:
        with without_privileges():
            yield
    finally:
        for path, mode in below.items():
            path.chmod(mode)
