"""Double precision wherever a device has it."""

from __future__ import annotations

import torch
from torch import Tensor


def exact(tensor: Tensor) -> Tensor:
    """The tensor in float64; on the CPU where its device, MPS, knows no float64.

    >>> exact(torch.ones(1)).dtype
    torch.float64
    """
    return tensor.to("cpu", torch.float64) if tensor.device.type == "mps" else tensor.double()
