"""Types of numbers: conversions to float64 and to at least float32, and a check."""

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


_INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_REAL = _INTEGERS | {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def is_real(tensor: Tensor) -> bool:
    """Return whether a tensor is dense, has data, and holds truth values, integers or floats of at least 16 bits.

    >>> is_real(torch.ones(1, dtype=torch.bool)), is_real(torch.ones(1, dtype=torch.complex64)), is_real(torch.ones(1).to_sparse())
    (True, False, False)
    """
    return tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_meta and tensor.dtype in _REAL
