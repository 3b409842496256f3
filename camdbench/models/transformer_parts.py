"""Layers of a vision transformer under common names for torchvision and timm, for methods with rules per layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.models.attention import Transformer, transformer_of
from camdbench.models.huggingface_layers import family_of


@dataclass(frozen=True)
class BlockParts:
    """Block: m = x + scale1(project(attention(norm1(x)))), then m + scale2(contract(activation(expand(norm2(m))))).

    Attributes:
        qkv_weight: (3 heads d, C), queries, keys, values.
        qkv_bias: (3 heads d,), or None.
        heads: number of heads.
    """

    norm1: nn.Module
    qkv_weight: Tensor
    qkv_bias: Tensor | None
    heads: int
    project: nn.Linear
    scale1: nn.Module
    norm2: nn.Module
    expand: nn.Linear
    activation: nn.Module
    contract: nn.Linear
    scale2: nn.Module


@dataclass(frozen=True)
class TransformerParts:
    """Vision transformer whose head is linear in the normalised tokens that it reads, or in their mean.

    Attributes:
        blocks: first to last.
        norm: norm after the last block.
        pooled_norm: norm after the mean of the patch tokens, if the head reads it.
        classifiers: linear layers, one per token that the head reads, or one; their logits are averaged.
    """

    blocks: tuple[BlockParts, ...]
    norm: nn.Module
    pooled_norm: nn.Module
    classifiers: tuple[nn.Linear, ...]


def parts_of(network: Any) -> TransformerParts:
    """Layers of a vision transformer.

    Raises:
        NotApplicable: another network, a head that is not linear in its tokens, or a block with unsupported layers.
    """
    transformer, name = transformer_of(network), type(network).__name__
    pooled_norm: nn.Module = nn.Identity()
    if family_of(network) is not None:
        return _of_transformers(network, transformer)
    if hasattr(network, "encoder"):
        heads, norm = list[nn.Module](network.heads.children()), network.encoder.ln
        blocks = tuple(map(_of_torchvision, transformer.blocks))
    else:
        heads, norm = [getattr(network, head) for head in ("head", "head_dist") if hasattr(network, head)], network.norm
        if not transformer.readers:
            pooled_norm = network.fc_norm
        elif type(network.fc_norm) is not nn.Identity:
            heads.append(network.fc_norm)
        blocks = tuple(map(_of_timm, transformer.blocks))
    classifiers = tuple(head for head in heads if isinstance(head, nn.Linear))
    if not len(classifiers) == len(heads) == max(1, len(transformer.readers)):
        raise NotApplicable(f"head of {name}: not linear in the tokens that it reads")
    return TransformerParts(blocks, norm, pooled_norm, classifiers)


def _of_transformers(network: Any, transformer: Transformer) -> TransformerParts:
    """Layers of ViT, ViT-MSN and DeiT of transformers."""
    if family_of(network) not in ("vit", "vit_msn", "deit"):
        raise NotApplicable(f"{type(network).__name__}: its blocks or its head have layers without a rule")
    heads = [network.cls_classifier, network.distillation_classifier] if len(transformer.readers) > 1 else [network.classifier]
    blocks = tuple(map(_block_of_transformers, transformer.blocks))
    return TransformerParts(blocks, network.base_model.layernorm, nn.Identity(), tuple(heads))


def _block_of_transformers(block: Any) -> BlockParts:
    attention = block.attention
    layers: list[nn.Linear] = [attention.q_proj, attention.k_proj, attention.v_proj]
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]  # pyright: ignore[reportUnnecessaryComparison]
    return BlockParts(
        norm1=block.layernorm_before,
        qkv_weight=torch.cat([layer.weight for layer in layers]),
        qkv_bias=torch.cat(biases) if biases else None,
        heads=attention.num_attention_heads,
        project=attention.o_proj,
        scale1=nn.Identity(),
        norm2=block.layernorm_after,
        expand=block.mlp.fc1,
        activation=block.mlp.activation_fn,
        contract=block.mlp.fc2,
        scale2=nn.Identity(),
    )


def _of_torchvision(block: Any) -> BlockParts:
    attention = block.self_attention
    layers = [layer for layer in block.mlp.children() if not isinstance(layer, nn.Dropout)]
    return BlockParts(
        norm1=block.ln_1,
        qkv_weight=attention.in_proj_weight,
        qkv_bias=attention.in_proj_bias,
        heads=attention.num_heads,
        project=attention.out_proj,
        scale1=nn.Identity(),
        norm2=block.ln_2,
        expand=layers[0],
        activation=layers[1],
        contract=layers[2],
        scale2=nn.Identity(),
    )


def _of_timm(block: Any) -> BlockParts:
    kind: type[nn.Module] = type(block)
    attention: Any = block.attn
    mlp: Any = getattr(block, "mlp", None)
    between = [getattr(attention, name, None) for name in ("q_norm", "k_norm", "norm")] + [getattr(mlp, "norm", None)]
    plain = all(module is None or type(module) is nn.Identity for module in between)
    if kind.__name__ != "Block" or type(mlp).__name__ != "Mlp" or getattr(attention, "gate", None) is not None or not plain:
        raise NotApplicable(f"block of type {kind.__name__}: has layers without a rule")
    return BlockParts(
        norm1=block.norm1,
        qkv_weight=attention.qkv.weight,
        qkv_bias=attention.qkv.bias,
        heads=attention.num_heads,
        project=attention.proj,
        scale1=block.ls1,
        norm2=block.norm2,
        expand=mlp.fc1,
        activation=mlp.act,
        contract=mlp.fc2,
        scale2=block.ls2,
    )
