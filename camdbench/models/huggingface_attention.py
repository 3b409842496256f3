"""Attention of vision transformers of the transformers library, which itself is imported only inside the context."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.models.huggingface_layers import family_of, stated_prefixes

_NAME = "camdbench"
_BLOCKS = {
    "beit": "beit.layers",
    "clip": "vision_model.encoder.layers",
    "data2vec-vision": "data2vec_vision.encoder.layer",
    "deit": "deit.layers",
    "dinov2": "dinov2.encoder.layer",
    "dinov2_with_registers": "dinov2_with_registers.encoder.layer",
    "ijepa": "ijepa.layers",
    "metaclip_2": "vision_model.encoder.layers",
    "siglip": "vision_model.encoder.layers",
    "siglip2": "vision_model.encoder.layers",
    "vit": "vit.layers",
    "vit_msn": "vit.layers",
}
_OTHERWISE = {
    "cvt": "its queries and keys are on different grids",
    "data2vec-vision": "it computes attention in a way that cannot be recorded",
    "donut-swin": "attention is between places of one window",
    "hiera": "attention is between tokens of one mask unit",
    "pvt": "its keys are on a coarser grid",
    "pvt_v2": "its keys are on a coarser grid",
    "segformer": "its keys are on a coarser grid",
    "swin": "attention is between places of one window",
    "swinv2": "attention is between places of one window",
}


class TokenNetwork(NamedTuple):
    """Blocks, read tokens, prefix and head of a vision transformer of transformers; see `attention.Transformer`."""

    blocks: tuple[nn.Module, ...]
    readers: tuple[int, ...]
    prefix: int
    head: Callable[[Tensor], Tensor]


def token_network(network: Any) -> TokenNetwork:
    """Parts of a vision transformer of transformers.

    `readers` of DINOv2 names the class token alone; see `attention_note`.

    Raises:
        NotApplicable: a family whose attention is not between all tokens of an image, or cannot be recorded.
    """
    family = family_of(network) or ""
    if family in _OTHERWISE or family not in _BLOCKS:
        reason = _OTHERWISE.get(family, "it has no self-attention between the tokens of an image that can be recorded")
        raise NotApplicable(f"{type(network).__name__}: {reason}")
    (prefix,) = stated_prefixes(network)
    readers, head = _head(network, family, prefix)
    return TokenNetwork(tuple(network.get_submodule(_BLOCKS[family]).children()), readers, prefix, head)


def attention_note(network: Any) -> str:
    """What a map of attention leaves out of what the head reads; empty if nothing."""
    if not (family_of(network) or "").startswith("dinov2"):
        return ""
    return "maps of attention show the row of the class token; the head also reads the mean of the patch tokens"


def _head(network: Any, family: str, prefix: int) -> tuple[tuple[int, ...], Callable[[Tensor], Tensor]]:
    """Positions of the tokens that the head reads, and logits from the tokens of the last block."""
    base = network.base_model if family not in ("clip", "metaclip_2", "siglip", "siglip2") else network.vision_model
    if family == "beit":
        return (() if network.config.use_mean_pooling else (0,)), lambda tokens: network.classifier(base.pooler(base.layernorm(tokens)))
    if family in ("clip", "metaclip_2"):
        return (), lambda tokens: network.classifier(tokens[:, prefix:].mean(1))
    norm = base.post_layernorm if family in ("siglip", "siglip2") else base.layernorm
    if family in ("siglip", "siglip2", "ijepa"):
        return (), lambda tokens: network.classifier(norm(tokens).mean(1))
    if family.startswith("dinov2"):
        return (0,), lambda tokens: network.classifier(torch.cat([norm(tokens)[:, 0], norm(tokens)[:, prefix:].mean(1)], 1))
    if hasattr(network, "distillation_classifier"):
        heads = network.cls_classifier, network.distillation_classifier
        return (0, 1), lambda tokens: (heads[0](norm(tokens)[:, 0]) + heads[1](norm(tokens)[:, 1])) / 2
    return (0,), lambda tokens: network.classifier(norm(tokens)[:, 0])


_keepers: weakref.WeakKeyDictionary[nn.Module, Callable[[Tensor], Tensor]] = weakref.WeakKeyDictionary()


@contextmanager
def explicit_attention(network: Any, keep: Callable[[Tensor], Tensor]) -> Generator[None]:
    """Compute attention without a fused kernel inside the context, and pass its probabilities to `keep`."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    modules = list(network.modules())
    configs = {id(module.config): module.config for module in modules if hasattr(module, "config")}
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        _keepers.update(dict.fromkeys(modules, keep))
        from camdbench.models.huggingface_zoo import quiet

        with quiet():  # it notices sub-configurations without a module, such as the text side of CLIP
            network.set_attn_implementation(_NAME)
        yield
    finally:
        for config, implementation in before:  # outer ones first: they set those inside them
            config._attn_implementation = implementation
        for module in modules:
            _keepers.pop(module, None)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: object,
) -> tuple[Tensor, Tensor]:
    """Attention softmax(q k' scaling + mask) v, (B, N, heads, d), and its probabilities (B, heads, N, N)."""
    del options
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    probabilities = (scores if attention_mask is None else scores + attention_mask).softmax(-1)
    probabilities = _keepers[module](nn.functional.dropout(probabilities, dropout, module.training))
    return (probabilities @ value).transpose(1, 2).contiguous(), probabilities
