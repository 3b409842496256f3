"""The machine and the versions behind a measurement."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import torch


def machine(threads: int) -> dict[str, str | int]:
    """Processor, instruction set, threads and version of torch."""
    return {"cpu": _processor(), "instructions": torch.backends.cpu.get_cpu_capability(), "threads": threads, "torch": torch.__version__}


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of the peers that are installed."""
    found = dict[str, str]()
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Model name of the processor, as Linux states it; elsewhere its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
