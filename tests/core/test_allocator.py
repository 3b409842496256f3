"""Freed memory is used again: counted in pages that the kernel had to give."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from camdbench.core import allocator

SETTINGS = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"]
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

SETTING = """
import resource
import torch
from camdbench.core.allocator import reuse_freed_memory

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

DOOR = """
import ctypes
import resource
import torch
from torch import nn
import camdbench

layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
classifier = camdbench.Classifier(nn.Sequential(*layers), "1", mean=0.5, std=0.25)
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
layer = 20 * 2**20

def faults():
    for number in range(20):
        if number == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [library.malloc(layer) for _ in range(3)]  # together more than glibc keeps after one of them was freed
        for block in blocks:
            ctypes.memset(block, 1, layer)
        for block in blocks:
            library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

imported_only = faults()
camdbench.explain(classifier, torch.rand(1, 3, 8, 8), "gradcam")
explained = faults()
camdbench.reuse_freed_memory()
print(imported_only, explained, faults())
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def faults(program: str) -> list[int]:
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return [int(word) for word in found.split()]


@GLIBC
def test_what_was_freed_is_used_again() -> None:
    as_it_comes, reusing = faults(SETTING)
    assert reusing < as_it_comes / 2


@GLIBC
def test_python_without_the_setting_maps_no_layer_anew() -> None:
    imported_only, explained, setting = faults(DOOR)
    assert imported_only > 200  # also with huge pages of 2 MiB
    assert explained < imported_only / 20
    assert setting < imported_only / 20


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "131072")
    assert not allocator.reuse_freed_memory()
    assert not allocator.free_one_large_block.__wrapped__()


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())  # as on musl: without these functions
    assert not allocator.reuse_freed_memory()
    assert not allocator.free_one_large_block.__wrapped__()
