"""Networks that the trainer knows, fresh or from weights, with any number of classes, and their surgery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.shortcuts_net import shortcuts_network
from camdbench.models.surgery import core_focused

NETWORKS = ("shortcuts", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def build_network(name: str, classes: int, surgery: Mapping[str, Any] | None = None) -> nn.Module:
    """A freshly initialised network, drawn from torch's generator, altered where a surgery is given.

    Raises:
        UsageError: unknown name, or a surgery that the network does not take.
    """
    if name not in NETWORKS:
        raise UsageError(f"network {name!r} is not known; known: {', '.join(NETWORKS)}")
    if name == "shortcuts":
        network = shortcuts_network(classes)
    else:
        from torchvision import models

        network = models.get_model(name, weights=None, num_classes=classes)
    return network if surgery is None else core_focused(network, **surgery)


def with_classes(network: nn.Module, classes: int) -> nn.Module:
    """The network with a fresh last layer where it has another number of classes.

    Raises:
        UsageError: nobody knows where its last layer is.
    """
    head = getattr(network, "fc", None)
    if not isinstance(head, nn.Linear):
        raise UsageError(f"{type(network).__name__} has no last layer called fc, so it cannot be started from")
    if head.out_features != classes:
        network.fc = nn.Linear(head.in_features, classes, bias="bias" in dict(head.named_parameters()))
    return network
