"""Layers of a network by their names."""

from __future__ import annotations

import torch
from torch import nn

from camdbench.core.errors import UsageError, unknown
from camdbench.models.bare_network import bare_name
from camdbench.models.capture import split_call
from camdbench.models.huggingface_layers import WITHOUT_GRID, family_of


def module_at(network: nn.Module, name: str) -> nn.Module | None:
    """The module at a name such as `layer4.1`; None if there is none."""
    module: nn.Module | None = network
    for step in name.split("."):
        module = None if module is None else dict(module.named_children()).get(step)
    return module


def short_name(network: nn.Module, layer: str) -> str:
    """The name of a layer in the network, without the prefix of a wrapper."""
    return layer if module_at(network, split_call(layer)[0]) is not None else bare_name(layer)


def find_layer(network: nn.Module, layer: str, owner: str) -> nn.Module:
    """The module with that name.

    Raises:
        UsageError: unknown name (with suggestions).
    """
    name = split_call(layer)[0]
    found = module_at(network, name)
    if found is None and (found := module_at(network, bare_name(name))) is None:
        raise unknown_layer(network, layer, owner)
    return found


def unknown_layer(network: nn.Module, layer: str, owner: str) -> UsageError:
    """The error of a name that no layer has, with suggestions."""
    names = [name for name, _ in network.named_modules() if name]
    return unknown("layer", layer, names, of=owner, more="(see: camdbench layers)")


def without_layer(network: nn.Module, owner: str) -> UsageError:
    """The error of a network whose target layer is neither given nor known."""
    kind = type(network).__name__
    if (reason := WITHOUT_GRID.get(family_of(network) or "")) is not None:
        return UsageError(f"{owner} ({kind}): no target layer, since {reason}")
    if isinstance(network, torch.jit.ScriptModule):
        return UsageError(f"{owner}: layers of TorchScript cannot be captured; use an explainer without a layer: rise, saliency")
    return UsageError(f"no target layer is known for {owner} ({kind}); name one with layer= (see: camdbench layers)")
