"""Random numbers that depend on (seed, image id) alone: never on batch mates, order or a global generator."""

from __future__ import annotations

import hashlib

import torch


def generator_for(seed: int, image_id: str, purpose: str) -> torch.Generator:
    """A CPU generator for one image and one purpose, so that no two uses share their numbers.

    >>> first, again = (torch.rand(1, generator=generator_for(0, "val-00001", "random")) for _ in range(2))
    >>> bool(first == again)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{image_id}\0{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
