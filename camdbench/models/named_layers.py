"""Layers of a network by their names."""

from __future__ import annotations

import torch
from torch import nn

from camdbench.core.errors import UsageError, unknown
from camdbench.models.bare_network import bare_name
from camdbench.models.capture import split_call
from camdbench.models.huggingface_layers import WITHOUT_GRID, family_of


def short_name(network: nn.Module, layer: str) -> str:
    """The name of a layer in the network, without the prefix of a wrapper."""
    return layer if split_call(layer)[0] in dict(network.named_modules()) else bare_name(layer)


def find_layer(network: nn.Module, layer: str, owner: str) -> nn.Module:
    """The module with that name.

    Raises:
        UsageError: unknown name (with suggestions).
    """
    modules = dict(network.named_modules())
    name = split_call(short_name(network, layer))[0]
    if name not in modules or not name:
        raise unknown("layer", layer, [name for name in modules if name], of=owner, more="(see: camdbench layers)")
    return modules[name]


def without_layer(network: nn.Module, owner: str) -> UsageError:
    """The error of a network whose target layer is neither given nor known."""
    kind = type(network).__name__
    if (reason := WITHOUT_GRID.get(family_of(network) or "")) is not None:
        return UsageError(f"{owner} ({kind}): no target layer, since {reason}")
    if isinstance(network, torch.jit.ScriptModule):
        return UsageError(f"{owner}: layers of TorchScript cannot be captured; use an explainer without a layer: rise, saliency")
    return UsageError(f"no target layer is known for {owner} ({kind}); name one with layer= (see: camdbench layers)")
