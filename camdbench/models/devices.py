"""Selection, timing and description of devices."""

from __future__ import annotations

import platform
from time import perf_counter
from typing import Any

import torch

from camdbench.core.errors import UsageError


def pick_device(name: str) -> torch.device:
    """Device by name; `auto` takes CUDA, then MPS, then the CPU.

    >>> pick_device("cpu")
    device(type='cpu')

    Raises:
        UsageError: invalid name or unavailable device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps") from None
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in available:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    if (device.index or 0) >= available[device.type]:
        raise UsageError(f"--device {name}: this machine has {available[device.type]} {device.type} device(s); use --device auto or cpu")
    return device


def clock(device: torch.device) -> float:
    """Seconds of a monotonic clock, after synchronising the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def machine(device: torch.device) -> dict[str, Any]:
    """Description of the device, platform and number of threads."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"device": str(device), "gpu": gpu, "platform": platform.platform(), "threads": torch.get_num_threads()}
