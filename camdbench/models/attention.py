"""Attention probabilities of vision transformers.

Fused kernels do not expose them. Inside the context they are computed explicitly with the same weights and logits; on exit,
also after an exception, the network is restored. Besides `capture.py` the only module that alters a network's modules.
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
from camdbench.models.huggingface_attention import explicit_attention, token_network
from camdbench.models.huggingface_layers import family_of


@dataclass
class Attention:
    """Attention recorded in a forward pass of a vision transformer, as nodes of its autograd graph.

    Attributes:
        probabilities: per block (B, heads, N, N); a row is a query and sums to 1. Without trainable weights the first is a
            leaf, where a backward pass ends.
        tokens: (B, N, C), the input of the first block, then the output of each block.
    """

    probabilities: list[Tensor] = field(default_factory=list[Tensor])
    tokens: list[Tensor] = field(default_factory=list[Tensor])

    def keep(self, probabilities: Tensor) -> Tensor:
        """Record the attention of the next block and return it."""
        if probabilities.ndim != 4 or probabilities.shape[2] != probabilities.shape[3]:
            raise NotApplicable(f"attention of shape {tuple(probabilities.shape)}: not self-attention between the tokens of one image")
        if torch.is_grad_enabled() and not probabilities.requires_grad:
            probabilities.requires_grad_()
        self.probabilities.append(probabilities)
        return probabilities


@dataclass(frozen=True)
class Transformer:
    """Parts of a vision transformer.

    Attributes:
        blocks: blocks, first to last.
        attentions: self-attention module of each block; empty for transformers, whose attention is computed by one function.
        readers: positions of the tokens that the head reads; empty if it reads the mean of the patch tokens.
        prefix: number of tokens before the patch tokens.
        head: logits from the tokens (B, N, C) of the last block.
    """

    blocks: tuple[nn.Module, ...]
    attentions: tuple[nn.Module, ...]
    readers: tuple[int, ...]
    prefix: int
    head: Callable[[Tensor], Tensor]

    def read(self, matrix: Tensor) -> Tensor:
        """Mean row (B, N) of matrices (B, N, N) over the tokens that the head reads."""
        rows = matrix[:, list(self.readers)] if self.readers else matrix[:, self.prefix :]
        return rows.mean(1)


def transformer_of(network: nn.Module) -> Transformer:
    """Parts of a vision transformer of torchvision, timm or transformers (ViT, DeiT with one or two prefix tokens, registers).

    Raises:
        NotApplicable: another network, or an unsupported attention or head.
    """
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(network).__mro__}
    if ("torchvision", "VisionTransformer") in kinds:
        return _of_torchvision(network)
    if ("timm", "VisionTransformer") in kinds:
        return _of_timm(network)
    if family_of(network) == "timm_wrapper":
        return transformer_of(cast("nn.Module", network.timm_model))
    if family_of(network) is not None:
        found = token_network(network)
        return Transformer(found.blocks, (), found.readers, found.prefix, found.head)
    raise NotApplicable(f"{type(network).__name__}: attention is read from vision transformers of torchvision, timm and transformers only")


@contextmanager
def record_attention(network: nn.Module) -> Generator[Attention]:
    """Record the attention of every block in the one forward pass inside the context, fused attention included.

    Raises:
        NotApplicable: the network has no such attention, or another number of matrices than blocks was recorded.
    """
    transformer, recorded = transformer_of(network), Attention()
    with ExitStack() as stack:
        for block in transformer.blocks:
            stack.enter_context(_override(block, forward=_record_tokens(block, recorded)))
        if not transformer.attentions:
            stack.enter_context(explicit_attention(network, recorded.keep))
        for attention in transformer.attentions:
            if isinstance(attention, nn.MultiheadAttention):
                stack.enter_context(_override(attention, forward=_explicit_attention(attention, recorded)))
            else:
                stack.enter_context(_override(attention, fused_attn=False))
                dropout = cast("nn.Module", attention.attn_drop)  # timm passes the probabilities through it
                stack.enter_context(_override(dropout, forward=_record_probabilities(dropout, recorded)))
        yield recorded
    if len(recorded.probabilities) != len(transformer.blocks):
        raise NotApplicable(
            f"{type(network).__name__}: {len(recorded.probabilities)} attention matrices in {len(transformer.blocks)} blocks were recorded"
        )


@contextmanager
def _override(module: nn.Module, **members: object) -> Generator[None]:
    """Override attributes of one module inside the context."""
    own = vars(module)
    before = {name: own[name] for name in members if name in own}
    try:
        own.update(members)
        yield
    finally:
        for name in members:
            own.pop(name, None)
        own.update(before)


def _record_tokens(block: nn.Module, recorded: Attention) -> Callable[..., Tensor]:
    """The block's forward, which also records the tokens before the first block and after each."""
    own = block.forward

    def forward(tokens: Tensor, *more: Any, **options: Any) -> Tensor:
        if not recorded.tokens:
            recorded.tokens.append(tokens)
        result = own(tokens, *more, **options)
        recorded.tokens.append(result)
        return result

    return forward


def _record_probabilities(dropout: nn.Module, recorded: Attention) -> Callable[[Tensor], Tensor]:
    own = dropout.forward
    return lambda probabilities: recorded.keep(own(probabilities))


def _explicit_attention(module: nn.MultiheadAttention, recorded: Attention) -> Callable[..., tuple[Tensor, None]]:
    """Self-attention softmax(q k' / sqrt(d)) v without a fused kernel."""

    def forward(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        if query is not key or key is not value or options.get("attn_mask") is not None or options.get("key_padding_mask") is not None:
            raise NotApplicable("cross-attention or masked attention: not self-attention between the tokens of one image")
        joint = F.linear(query, module.in_proj_weight, module.in_proj_bias).unflatten(2, (3, module.num_heads, -1))
        q, k, v = joint.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, d)
        probabilities = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        probabilities = recorded.keep(F.dropout(probabilities, module.dropout, module.training))
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
            raise NotApplicable(f"block of {type(network).__name__}: unsupported attention {type(module).__name__}")
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
            raise NotApplicable(f"block of {type(network).__name__}: unsupported attention {type(module).__name__}")
    pool, prefix = network.global_pool, int(network.num_prefix_tokens)
    if network.attn_pool is not None or pool not in ("token", "avg") or (pool == "avg" and network.pool_include_prefix):
        raise NotApplicable(f"head of {type(network).__name__}: pools its tokens by {pool!r}; supported: token, avg")
    readers = () if pool == "avg" else (0, 1) if hasattr(network, "head_dist") else (0,)  # DeiT averages two heads
    return Transformer(
        blocks=blocks,
        attentions=cast("tuple[nn.Module, ...]", attentions),
        readers=readers,
        prefix=prefix,
        head=lambda tokens: network.forward_head(network.norm(tokens)),
    )
