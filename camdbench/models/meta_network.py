"""Networks on the meta device: names and shapes of weights without memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def on_meta_device(make: Callable[[], nn.Module]) -> nn.Module:
    """The network made by a function, on the meta device if possible."""
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:  # RegNet computes its widths with tensors
        return make()
