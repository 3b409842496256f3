"""Conversions to float64 and to at least float32."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64; on the CPU for MPS tensors, which have no float64.

    >>> to_float64(torch.ones(1)).dtype
    torch.float64
    """
    return tensor.to("cpu", torch.float64) if tensor.device.type == "mps" else tensor.double()


def to_at_least_float32(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors in their common floating-point type, at least float32.

    >>> [part.dtype for part in to_at_least_float32(torch.ones(1).bfloat16(), torch.ones(1).half())]
    [torch.float32, torch.float32]
    """
    kind = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return first.to(kind), second.to(kind)
