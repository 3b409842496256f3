"""Skeleton: a network for the names and shapes of its weights only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def skeleton(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that a function makes, without memory for its weights where it can be built so."""
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:  # RegNet computes its widths with tensors
        return make()
