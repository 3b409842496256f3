"""glibc's allocator: keep freed memory for reuse, by a setting (commands) or by its own rule (Python)."""

from __future__ import annotations

import ctypes
import functools
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")
_LARGEST_DYNAMIC = 2 ** (25 if ctypes.sizeof(ctypes.c_void_p) == 8 else 19)  # glibc's DEFAULT_MMAP_THRESHOLD_MAX, bytes
_MARGIN = 2**17  # for the header, rounded up to a page of at most 64 KiB


def reuse_freed_memory() -> bool:
    """Let glibc keep freed memory of any size for the next layer, as the commands do; in Python, call it once before the first pass.

    By default glibc maps every block beyond 32 MiB anew, gives freed memory back, and the kernel clears its pages. A forward pass of
    resnet50 on a CPU takes 1.2 times as long with 20 images of 224 pixels, and 1.75 times with 83; with 10 it takes the same time. Loops
    over altered images pass 10 at a time; the batch itself passes as `batch_size` says. It concerns the whole process.

    Returns:
        Whether the setting was applied; False if the allocator is another one or the user has configured it.
    """
    if _is_configured():
        return False
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_THRESHOLD, 2**30) and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1))
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt, Windows has no such library
        return False


@functools.cache
def free_one_large_block() -> bool:
    """Allocate and free one untouched block of almost 32 MiB, once per process, before passes on a CPU.

    It changes no setting and takes no memory. glibc raises its threshold for mapped blocks to the size of any mapped block that is freed,
    up to 32 MiB, and keeps twice as much freed memory; a program whose first layers are smaller gets there late or never. Until then
    every pass maps its blocks anew. After `reuse_freed_memory` it has no effect.

    Returns:
        Whether it was done; False if the allocator is another one or the user has configured it.
    """
    if _is_configured():
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  other C libraries have no such rule
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
        library.free(library.malloc(_LARGEST_DYNAMIC - _MARGIN))
    except (AttributeError, OSError, TypeError):
        return False
    return True


def _is_configured() -> bool:
    """Whether the environment has settings of glibc's allocator."""
    return any(name in os.environ for name in _USER_SETTINGS)
