"""Untrained networks by architecture name, number of classes and surgery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from camdbench.core.model_names import TIMM
from camdbench.models import shortcuts_net
from camdbench.models.zoo import check_network

_SHORTCUTS = 96  # pixels
_SIDE_HEADS = ("aux1", "aux2", "AuxLogits")  # of GoogLeNet and Inception v3


class InputSpec(NamedTuple):
    """Input of an architecture.

    Attributes:
        mean: mean of the normalisation, on the scale of [0, 1].
        std: standard deviation of the normalisation.
        size: side of the images in pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int


def build_network(name: str, classes: int, surgery: Mapping[str, Any] | None = None) -> nn.Module:
    """Untrained network, drawn from torch's global generator, optionally with surgery.

    Raises:
        UsageError: unknown name, or a surgery that the network does not support.
    """
    check_network(name)
    if name == "shortcuts":
        network = shortcuts_net.shortcuts_network(classes)
    elif name.startswith(TIMM):
        from camdbench.models import timm_zoo

        network = timm_zoo.fresh(name, classes)
    else:
        from camdbench.models import torchvision_zoo

        network = torchvision_zoo.fresh(name, classes)
    if surgery is None:
        return network
    from camdbench.models.surgery import apply_surgery

    return apply_surgery(network, **surgery)


def input_of(name: str) -> InputSpec:
    """Default input of an architecture.

    Raises:
        UsageError: unknown name.
    """
    check_network(name)
    if name == "shortcuts":
        return InputSpec(shortcuts_net.MEAN, shortcuts_net.STD, _SHORTCUTS)
    if name.startswith(TIMM):
        from camdbench.models import timm_zoo

        return InputSpec(*timm_zoo.input_of(name))
    from camdbench.models import torchvision_zoo

    return InputSpec(torchvision_zoo.IMAGENET_MEAN, torchvision_zoo.IMAGENET_STD, torchvision_zoo.size_of(name))


def without_side_heads(network: nn.Module) -> nn.Module:
    """The network without the auxiliary classifiers of GoogLeNet and Inception v3, which no loss here trains."""
    for name in _SIDE_HEADS:
        if getattr(network, name, None) is not None:
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False  # pyright: ignore[reportArgumentType] - a flag
    return network
