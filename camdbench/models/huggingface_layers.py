"""Default layer and prefix tokens of every image classifier of the transformers library, which itself is not imported.

Choices follow those of `target_layers`: the input of the last attention if a class token reads the patches, else what the
head averages, behind the last norm.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from camdbench.core.errors import UsageError


class Family(NamedTuple):
    """Target layer of a family, and the tokens before its patches.

    Attributes:
        layer: name of the layer; -1 is the last child.
        prefix: numbers of prefix tokens in its layers, from the configuration; None if it has no tokens.
    """

    layer: str
    prefix: Callable[[Any], set[int]] | None = None


def _tokens(*prefixes: int) -> Callable[[Any], set[int]]:
    return lambda _: set(prefixes)


# model_type -> family
FAMILIES = {
    "beit": Family("beit.layers.-1.layernorm_before", _tokens(1)),
    "bit": Family("bit.norm"),
    "clip": Family("vision_model.encoder.layers.-1", _tokens(1)),
    "convnext": Family("convnext.encoder.stages.-1"),
    "convnextv2": Family("convnextv2.encoder.stages.-1"),
    "cvt": Family("cvt.encoder.stages.-1.layers.-1.layernorm_before", lambda config: {0, int(config.cls_token[-1])}),
    "data2vec-vision": Family("data2vec_vision.encoder.layer.-1.layernorm_before", _tokens(1)),
    "deit": Family("deit.layers.-1.layernorm_before", _tokens(2)),
    "dinov2": Family("dinov2.encoder.layer.-1.norm1", _tokens(1)),
    "dinov2_with_registers": Family("dinov2_with_registers.encoder.layer.-1.norm1", lambda config: {1 + config.num_register_tokens}),
    "donut-swin": Family("donut.encoder.layers.-1.blocks.-1", _tokens(0)),
    "efficientnet": Family("efficientnet.encoder.top_activation"),
    "focalnet": Family("focalnet.layernorm", _tokens(0)),
    "hgnet_v2": Family("encoder.stages.-1"),
    "hiera": Family("hiera.encoder.stages.-1.layers.-1", _tokens(0)),
    "ijepa": Family("ijepa.layernorm", _tokens(0)),
    "levit": Family("levit.encoder.stages.-1", _tokens(0)),
    "metaclip_2": Family("vision_model.encoder.layers.-1", _tokens(1)),
    "mobilenet_v1": Family("mobilenet_v1.layer.-1"),
    "mobilenet_v2": Family("mobilenet_v2.conv_1x1"),
    "mobilevit": Family("mobilevit.conv_1x1_exp"),
    "mobilevitv2": Family("mobilevitv2.encoder.layer.-1"),
    "poolformer": Family("norm"),
    "pp_lcnet": Family("encoder.blocks.-1"),
    "pvt": Family("pvt.encoder.block.-1.-1.layer_norm_1", _tokens(0, 1)),  # a class token in the last stage alone
    "pvt_v2": Family("pvt_v2.encoder.layers.-1.layer_norm", _tokens(0)),
    "regnet": Family("regnet.encoder.stages.-1"),
    "resnet": Family("resnet.encoder.stages.-1"),
    "segformer": Family("segformer.stages.-1.layer_norm", _tokens(0)),
    "siglip": Family("vision_model.post_layernorm", _tokens(0)),
    "siglip2": Family("vision_model.post_layernorm", _tokens(0)),
    "swiftformer": Family("norm"),
    "swin": Family("swin.layernorm", _tokens(0)),
    "swinv2": Family("swinv2.layernorm", _tokens(0)),
    "textnet": Family("textnet.encoder.stages.-1"),
    "timm_wrapper": Family("timm_model"),  # the layer is that of the network inside
    "vit": Family("vit.layers.-1.layernorm_before", _tokens(1)),
    "vit_msn": Family("vit.layers.-1.layernorm_before", _tokens(1)),
}

# model_type -> why its networks cannot be explained
REFUSED = {
    "dinat": "its neighbourhood attention needs the library natten",
    "imagegpt": "it takes sequences of colour clusters, not images",
    "shieldgemma2": "it takes prompts beside images",
}
# model_type -> why it has no layer; explainers without a layer work
WITHOUT_GRID = {"perceiver": "its latent array has no grid of places; use an explainer without a layer: rise, saliency"}


def family_of(network: nn.Module) -> str | None:
    """The `model_type` of a network of transformers; None for others."""
    if not any(kind.__module__.startswith("transformers.models.") for kind in type(network).__mro__):
        return None
    return getattr(getattr(network, "config", None), "model_type", None)


def refuse_family(network: nn.Module) -> None:
    """Refuse a network of transformers that does not map images to logits.

    Raises:
        UsageError: it is of such a family.
    """
    if (reason := REFUSED.get(family_of(network) or "")) is not None:
        raise UsageError(f"network is {type(network).__name__}: cannot be explained, since {reason}")


def stated_prefixes(network: nn.Module) -> set[int]:
    """Numbers of prefix tokens in layers of a network of transformers, from its configuration; empty if not known."""
    family = FAMILIES.get(family_of(network) or "")
    return set() if family is None or family.prefix is None else family.prefix(network.config)


def order_problem(network: nn.Module, layer: str) -> str:
    """Why the tokens of a layer are in another order than the places of the image; empty if they are not.

    Hiera (Ryali et al. 2023, arXiv:2306.00989) keeps tokens by mask unit until the last pooling of queries.
    """
    if family_of(network) != "hiera" or not layer.startswith("hiera."):
        return ""
    config: Any = network.config
    last, found = len(config.depths) - 1, re.match(r"hiera\.encoder\.stages\.(\d+)(?:\.layers\.(\d+)(?:\.(\w+))?)?", layer)
    inside = found is None or int(found[1]) == last
    pooled = found is None or found[2] != "0" or found[3] in (None, "layernorm_after", "mlp")
    if config.num_query_pool == last and inside and pooled and not layer.startswith("hiera.embeddings"):
        return ""
    return "Hiera orders its tokens by mask units before its last stage, not by places"
