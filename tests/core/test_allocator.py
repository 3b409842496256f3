"""Freed memory is used again: counted in pages that the kernel had to give."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from helpers.each import each

from camdbench.core import allocator

SETTINGS = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"]
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

PROGRAM = """
import ctypes
import resource
import torch
from torch import nn
import camdbench
from camdbench.core.allocator import free_one_large_block

layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
classifier = camdbench.Classifier(nn.Sequential(*layers), "1", mean=0.5, std=0.25)
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def faults(layer):
    for number in range(20):
        if number == 10:  # the heap has grown to what is needed
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [library.malloc(layer) for _ in range(3)]  # together more than glibc keeps after one of them was freed
        for block in blocks:
            ctypes.memset(block, 1, layer)
        for block in blocks:
            library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

small, large = 20 * 2**20, 40 * 2**20
print(faults(small))
camdbench.explain(classifier, torch.rand(1, 3, 8, 8), "gradcam")
print(faults(small), faults(large))
assert camdbench.reuse_freed_memory()
assert free_one_large_block.__wrapped__()  # as in a command: the setting stays
print(faults(small), faults(large))
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@GLIBC
def test_python_reuses_layers_up_to_32_mib_and_with_the_setting_larger_ones() -> None:
    words = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    imported_only, explained, explained_large, setting, setting_large = map(int, words)
    assert imported_only > 200  # also with huge pages of 2 MiB
    assert explained < imported_only / 20
    assert explained_large > 200
    assert setting < imported_only / 20
    assert setting_large < explained_large / 20


@each("name", SETTINGS)
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "131072")
    assert not allocator.reuse_freed_memory()
    assert not allocator.free_one_large_block.__wrapped__()


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())  # as on musl: without these functions
    assert not allocator.reuse_freed_memory()
    assert not allocator.free_one_large_block.__wrapped__()
