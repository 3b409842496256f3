"""The network inside wrappers of torch, with parameters that allow gradients."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any, cast

import torch
from torch import nn

from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.models.huggingface_layers import family_of

_WRAPPERS = {"_orig_mod": "compiled network", "module": "parallel network"}  # attribute of the network inside -> name in the notice


def bare_network(network: nn.Module) -> nn.Module:
    """The network inside `torch.compile`, DataParallel or DistributedDataParallel; a copy of one built in inference mode.

    Each step warns on one line. SigLIP 2 of transformers becomes a network of images.

    Raises:
        UsageError: it is not an `nn.Module`.
    """
    if not isinstance(network, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        fix = "give its module()" if isinstance(network, torch.export.ExportedProgram) else "give an nn.Module"
        raise UsageError(f"network is {type(network).__name__}: expected an nn.Module; {fix}")
    while (name := _wrapper(network)) is not None:
        _notice(f"{_WRAPPERS[name]} {type(network).__name__}: the network inside it is explained, with the same weights")
        network = getattr(network, name)
    if any(tensor.is_inference() for tensor in (*network.parameters(), *network.buffers())):
        _notice(f"{type(network).__name__} was built inside torch.inference_mode, which forbids gradients: a copy of it is explained")
        with torch.inference_mode(mode=False):
            network = deepcopy(network)
    if family_of(network) == "siglip2" and hasattr(network, "classifier"):
        from camdbench.models.siglip2_images import on_images

        return on_images(cast("Any", network))
    return network


def bare_name(layer: str) -> str:
    """Name of a layer without the prefix of a wrapper.

    >>> bare_name("_orig_mod.module.layer4"), bare_name("modules.3")
    ('layer4', 'modules.3')
    """
    while layer.partition(".")[0] in _WRAPPERS and "." in layer:
        layer = layer.partition(".")[2]
    return layer


def _wrapper(network: nn.Module) -> str | None:
    """Attribute that holds the network inside a wrapper; None for other networks."""
    if type(network).__name__ == "OptimizedModule" and hasattr(network, "_orig_mod"):  # its class takes seconds to import
        return "_orig_mod"
    parallel = isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return "module" if parallel else None


def _notice(text: str) -> None:
    warnings.warn(text, CamdbenchWarning, stacklevel=4)
