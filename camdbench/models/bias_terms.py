"""Bias terms of layers, for complete decompositions of an output (FullGrad)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] - torch has no public name for the family
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from camdbench.models.capture import record_outputs


class BiasTerm(NamedTuple):
    """Bias that one layer added in one call.

    Attributes:
        bias: broadcastable to the output.
        output: output of the layer, in the autograd graph.
        on_grid: whether the output is (B, C, h, w).
    """

    bias: Tensor
    output: Tensor
    on_grid: bool


@contextmanager
def record_bias_terms(network: nn.Module) -> Generator[list[BiasTerm]]:
    """Record the biases of convolutions, linear layers and batch norms in one forward pass; complete after the context."""
    layers = [module for module in network.modules() if isinstance(module, _ConvNd | nn.Linear | _BatchNorm)]
    found = list[BiasTerm]()
    with record_outputs(layers) as recorded:
        yield found
    for module, output in recorded:
        bias = _bias_of(module)
        if bias is not None:
            dense = isinstance(module, nn.Linear)
            shaped = bias if dense else bias.view(-1, *[1] * (output.ndim - 2))
            found.append(BiasTerm(shaped, output, output.ndim == 4 and not dense))


def _bias_of(module: nn.Module) -> Tensor | None:
    """Bias (C,) of a layer; of a batch norm in eval mode beta - gamma mean / std."""
    bias = module.bias.detach() if isinstance(module.bias, Tensor) else None
    if not isinstance(module, _BatchNorm):
        return bias
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        return None
    shift = -mean / torch.sqrt(variance + module.eps)
    return shift if bias is None else bias + module.weight.detach() * shift
