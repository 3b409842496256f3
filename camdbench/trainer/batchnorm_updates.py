"""Running statistics of normalisation layers: which passes move them, and which leave them alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # pyright: ignore[reportPrivateUsage] - torch names the base class of all of them so


@contextmanager
def batchnorm_updates(network: nn.Module, *, moving: bool) -> Generator[None]:
    """Whether passes made inside the block move the running statistics; in training they see those of their own batch anyway."""
    found = [(module, module.track_running_stats) for module in network.modules() if isinstance(module, BatchNorm)]
    own = {id(module): module.running_mean is not None for module, _ in found}
    try:
        for module, _ in found:
            module.track_running_stats = moving and own[id(module)]
        yield
    finally:
        for module, tracks in found:
            module.track_running_stats = tracks


@contextmanager
def evaluating(network: nn.Module) -> Generator[None]:
    """Eval mode inside the block; the modes that were found come back after it."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
