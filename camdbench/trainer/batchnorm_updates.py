"""Control of batch normalisation: which passes update the running statistics."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # pyright: ignore[reportPrivateUsage] - torch's common base class


@contextmanager
def batchnorm_updates(network: nn.Module, *, enabled: bool) -> Generator[None]:
    """Enable or disable updates of running statistics inside the block; normalisation in training mode does not change."""
    found = [(module, module.track_running_stats) for module in network.modules() if isinstance(module, BatchNorm)]
    try:
        for module, _ in found:
            module.track_running_stats = enabled and module.running_mean is not None
        yield
    finally:
        for module, tracks in found:
            module.track_running_stats = tracks


@contextmanager
def evaluating(network: nn.Module) -> Generator[None]:
    """Eval mode inside the block; restores the modes after it."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
