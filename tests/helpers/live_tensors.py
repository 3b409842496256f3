"""Tensors that are alive, without Python's search for cycles, which would free what is left behind many batches later."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor
from torch.nn import Parameter


@contextmanager
def without_collection() -> Generator[None]:
    """No search for cycles inside the context."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def live_tensors() -> tuple[int, int]:
    """Number of live tensors, and bytes of their memory."""
    found = [own for own in gc.get_objects() if type(own) in (Tensor, Parameter)]  # not those without memory of torch.compile
    return len(found), sum({own.untyped_storage().data_ptr(): own.untyped_storage().nbytes() for own in found}.values())
