"""Attention made visible: beside `capture.py`, the only place that touches a network's modules.

Networks compute attention in one fused kernel that never shows its probabilities. Inside the context they are computed
step by step instead, with the same weights and so the same logits; after it, with an exception too, everything is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable


@dataclass
class Attention:
    """What a forward pass left in each block of a vision transformer, as nodes of its graph.

    Attributes:
        probabilities: for each block (B, heads, N, N); a row is a query and sums to 1. Where no weight wants a
            gradient, the first is a leaf, so that a backward pass ends there.
        tokens: (B, N, C), what the first block reads, then what each block returns: one more than blocks.
    """

    probabilities: list[Tensor] = field(default_factory=list[Tensor])
    tokens: list[Tensor] = field(default_factory=list[Tensor])

    def keep(self, probabilities: Tensor) -> Tensor:
        """Note down the attention of the next block and hand it on."""
        if probabilities.ndim != 4 or probabilities.shape[2] != probabilities.shape[3]:
            raise NotApplicable(f"attention of shape {tuple(probabilities.shape)} is not between the tokens of one image")
        if torch.is_grad_enabled() and not probabilities.requires_grad:
            probabilities.requires_grad_()
        self.probabilities.append(probabilities)
        return probabilities


@dataclass(frozen=True)
class Transformer:
    """The parts of a vision transformer that attention methods speak of.

    Attributes:
        blocks: its blocks, first to last.
        attentions: the self-attention module of each block.
        readers: positions of the tokens that the head reads; empty where it reads the mean of all places.
        prefix: tokens before the places.
        head: from the tokens (B, N, C) that the last block returns to logits.
    """

    blocks: tuple[nn.Module, ...]
    attentions: tuple[nn.Module, ...]
    readers: tuple[int, ...]
    prefix: int
    head: Callable[[Tensor], Tensor]

    def read(self, matrix: Tensor) -> Tensor:
        """The row (B, N) of matrices (B, N, N) that belongs to what the head reads: a token's, or the mean of several."""
        rows = matrix[:, list(self.readers)] if self.readers else matrix[:, self.prefix :]
        return rows.mean(1)


def transformer_of(network: nn.Module) -> Transformer:
    """The parts of a vision transformer of torchvision or timm (ViT, DeiT with one or two prefix tokens, registers).

    Raises:
        NotApplicable: the network is another one, or one whose attention or head is built otherwise.
    """
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(network).__mro__}
    if ("torchvision", "VisionTransformer") in kinds:
        return _of_torchvision(network)
    if ("timm", "VisionTransformer") in kinds:
        return _of_timm(network)
    raise NotApplicable(f"{type(network).__name__} is no vision transformer of torchvision or timm: its attention is not known")


@contextmanager
def attended(network: nn.Module) -> Generator[Attention]:
    """Show the attention of every block in the one forward pass made inside the block, fused attention included.

    Raises:
        NotApplicable: the network has no such attention.
    """
    transformer, seen = transformer_of(network), Attention()
    with ExitStack() as stack:
        for block, attention in zip(transformer.blocks, transformer.attentions, strict=True):
            stack.enter_context(_exchanged(block, forward=_noting(block, seen)))
            if isinstance(attention, nn.MultiheadAttention):
                stack.enter_context(_exchanged(attention, forward=_explicit(attention, seen)))
            else:
                stack.enter_context(_exchanged(attention, fused_attn=False))
                dropout = cast("nn.Module", attention.attn_drop)  # what timm hands the probabilities to, before it uses them
                stack.enter_context(_exchanged(dropout, forward=_passing(dropout, seen)))
        yield seen


@contextmanager
def _exchanged(module: nn.Module, **members: object) -> Generator[None]:
    """Give one module other attributes than its class has, for the passes made inside the block."""
    own = vars(module)
    before = {name: own[name] for name in members if name in own}
    try:
        own.update(members)
        yield
    finally:
        for name in members:
            own.pop(name, None)
        own.update(before)


def _noting(block: nn.Module, seen: Attention) -> Callable[..., Tensor]:
    """The block's own forward, which also notes down the tokens before the first block and after each."""
    own = block.forward

    def forward(tokens: Tensor, *more: Any, **options: Any) -> Tensor:
        if not seen.tokens:
            seen.tokens.append(tokens)
        result = own(tokens, *more, **options)
        seen.tokens.append(result)
        return result

    return forward


def _passing(dropout: nn.Module, seen: Attention) -> Callable[[Tensor], Tensor]:
    own = dropout.forward
    return lambda probabilities: seen.keep(own(probabilities))


def _explicit(module: nn.MultiheadAttention, seen: Attention) -> Callable[..., tuple[Tensor, None]]:
    """Self-attention step by step: softmax(q k' / sqrt(d)) v."""

    def forward(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        if query is not key or key is not value or options.get("attn_mask") is not None or options.get("key_padding_mask") is not None:
            raise NotApplicable("attention between different sequences, or with a mask, has no map of one image's places")
        joint = F.linear(query, module.in_proj_weight, module.in_proj_bias).unflatten(2, (3, module.num_heads, -1))
        q, k, v = joint.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, d)
        probabilities = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        probabilities = seen.keep(F.dropout(probabilities, module.dropout, module.training))
        return module.out_proj((probabilities @ v).transpose(1, 2).flatten(2)), None

    return forward


def _of_torchvision(network: Any) -> Transformer:
    blocks = tuple(network.encoder.layers.children())
    attentions = tuple(getattr(block, "self_attention", None) for block in blocks)
    for module in attentions:
        if (
            type(module) is not nn.MultiheadAttention
            or not module.batch_first
            or module.kdim != module.embed_dim
            or module.bias_k is not None
        ):
            raise NotApplicable(f"a block of {type(network).__name__} attends by {type(module).__name__} in a way that is not known")
    return Transformer(
        blocks=blocks,
        attentions=cast("tuple[nn.Module, ...]", attentions),
        readers=(0,),
        prefix=1,
        head=lambda tokens: network.heads(network.encoder.ln(tokens)[:, 0]),
    )


def _of_timm(network: Any) -> Transformer:
    blocks = tuple(network.blocks.children())
    attentions = tuple(getattr(block, "attn", None) for block in blocks)
    for module in attentions:
        if not isinstance(module, nn.Module) or not hasattr(module, "fused_attn") or not hasattr(module, "attn_drop"):
            raise NotApplicable(f"a block of {type(network).__name__} attends by {type(module).__name__} in a way that is not known")
    pool, prefix = network.global_pool, int(network.num_prefix_tokens)
    if network.attn_pool is not None or pool not in ("token", "avg") or (pool == "avg" and network.pool_include_prefix):
        raise NotApplicable(f"the head of {type(network).__name__} pools its tokens by {pool!r}; known: token, avg")
    readers = () if pool == "avg" else (0, 1) if hasattr(network, "head_dist") else (0,)  # DeiT's two heads are averaged
    return Transformer(
        blocks=blocks,
        attentions=cast("tuple[nn.Module, ...]", attentions),
        readers=readers,
        prefix=prefix,
        head=lambda tokens: network.forward_head(network.norm(tokens)),
    )
