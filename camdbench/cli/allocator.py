"""Setting of glibc's allocator: keep freed memory for reuse."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def reuse_freed_memory() -> bool:
    """Let glibc keep freed memory for the next layer, as the commands do; in Python, call it once before the first pass.

    By default glibc maps every block beyond 32 MiB anew, gives freed memory back, and the kernel clears its pages. A forward pass of
    resnet50 on a CPU takes 1.2 times as long with 20 images of 224 pixels, and 1.75 times with 83; with 10 it takes the same time. Loops
    over altered images pass 10 at a time; the batch itself passes as `batch_size` says. It concerns the whole process.

    Returns:
        Whether the setting was applied; False if the allocator is another one or the user has configured it.
    """
    if any(name in os.environ for name in _USER_SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_THRESHOLD, 2**30) and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1))
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt, Windows has no such library
        return False
