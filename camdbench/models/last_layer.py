"""Classification layer: finding it, and replacing it for another number of classes."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from camdbench.core.errors import UsageError


def last_layers(network: nn.Module) -> nn.ModuleList:
    """The classification layer; two of them in timm's distilled transformers, which average their logits.

    timm: `get_classifier()`; torchvision: the last linear layer, or the last convolution (SqueezeNet); else the attribute `fc`.

    Raises:
        UsageError: it is not found.
    """
    if _of_timm(network):
        found = cast("Any", network).get_classifier()
        return nn.ModuleList(found if isinstance(found, list | tuple) else [found])
    return nn.ModuleList([network.get_submodule(_name(network))])


def with_classes(network: nn.Module, classes: int) -> nn.Module:
    """The network with a new classification layer if the number of classes differs; all other weights are kept.

    The new weights are drawn from torch's global generator by the layer's default initialisation.

    Raises:
        UsageError: the classification layer is not found.
    """
    old = last_layers(network)[0]
    if _width(old) == classes:
        return network
    if _of_timm(network):
        cast("Any", network).reset_classifier(classes)
    else:
        network.set_submodule(_name(network), _like(old, classes))
    return network


def _of_timm(network: nn.Module) -> bool:
    return type(network).__module__.startswith("timm.models.")


def _name(network: nn.Module) -> str:
    """Name of the classification layer of a network that is not from timm."""
    if isinstance(getattr(network, "fc", None), nn.Linear):
        return "fc"
    if type(network).__module__.startswith("torchvision.models."):
        for kind in (nn.Linear, nn.Conv2d):
            if names := [name for name, module in network.named_modules() if isinstance(module, kind)]:
                return names[-1]
    raise UsageError(f"{type(network).__name__}: cannot find the classification layer (not a torchvision or timm model, no attribute fc)")


def _width(layer: nn.Module) -> int | None:
    return getattr(layer, "out_features", getattr(layer, "out_channels", None))


def _like(layer: nn.Module, classes: int) -> nn.Module:
    weight = cast("Tensor", layer.weight)
    given: dict[str, Any] = {"bias": "bias" in dict(layer.named_parameters()), "device": weight.device, "dtype": weight.dtype}
    if isinstance(layer, nn.Conv2d):
        return nn.Conv2d(layer.in_channels, classes, cast("tuple[int, int]", layer.kernel_size), **given)
    return nn.Linear(weight.shape[1], classes, **given)
