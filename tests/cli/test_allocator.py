"""Freed memory is used again: counted in pages that the kernel had to give."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from camdbench.cli.allocator import reuse_freed_memory

def faults():
    for number in range(20):
        if number == 10:  # the heap has grown to what is needed
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(2**23).fill_(1.0)  # 32 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

as_it_comes = faults()
assert reuse_freed_memory()
print(as_it_comes, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_was_freed_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    as_it_comes, reusing = map(int, found.split())
    assert reusing < as_it_comes / 2


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from camdbench.cli.allocator import reuse_freed_memory

    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    assert not reuse_freed_memory()
