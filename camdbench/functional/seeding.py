"""Random generators seeded by (seed, image id, purpose) alone, independent of batch and order."""

from __future__ import annotations

import hashlib

import torch


def generator_for(seed: int, image_id: str, purpose: str) -> torch.Generator:
    """CPU generator for one image and one purpose.

    >>> first, again = (torch.rand(1, generator=generator_for(0, "val-00001", "random")) for _ in range(2))
    >>> bool(first == again)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{image_id}\0{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
