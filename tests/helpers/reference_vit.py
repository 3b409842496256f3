"""torchvision's vision transformer written down formula by formula, one image and one head at a time, in float64."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camdbench.models.classifier import Classifier


@dataclass
class Block:
    """The values in one block: (N, …) for tokens, (heads, N, …) inside the attention; `parts` are its modules."""

    parts: Any
    before: Tensor
    normed1: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    attention: Tensor
    mixed: Tensor
    branch1: Tensor
    middle: Tensor
    normed2: Tensor
    active: Tensor
    branch2: Tensor

    @property
    def after(self) -> Tensor:
        return self.middle + self.branch2


@dataclass
class Pass:
    """One image's way through the network, with its graph."""

    network: Any
    blocks: list[Block]

    @property
    def attentions(self) -> list[Tensor]:
        return [block.attention for block in self.blocks]

    def read_out(self, tokens: Tensor) -> Tensor:
        """The logits (C,) of tokens (N, C)."""
        return self.network.heads(self.network.encoder.ln(tokens)[:1])[0]

    @property
    def logits(self) -> Tensor:
        return self.read_out(self.blocks[-1].after)


def literal_pass(classifier: Classifier, image: Tensor) -> Pass:
    network: Any = copy.deepcopy(classifier.network).double()
    x = ((image - classifier.mean[0]) / classifier.std[0]).double()
    places = network.conv_proj(x[None])[0].flatten(1).T
    tokens = torch.cat([network.class_token[0], places]) + network.encoder.pos_embedding[0]
    blocks = list[Block]()
    for parts in network.encoder.layers:
        blocks.append(_block(parts, tokens))
        tokens = blocks[-1].after
    return Pass(network, blocks)


def _block(parts: Any, before: Tensor) -> Block:
    mha = parts.self_attention
    heads, size = mha.num_heads, before.shape[1] // mha.num_heads
    normed1 = parts.ln_1(before)
    joint = normed1 @ mha.in_proj_weight.T + mha.in_proj_bias
    q, k, v = (torch.stack([part[:, h * size : (h + 1) * size] for h in range(heads)]) for part in joint.chunk(3, 1))
    attention = torch.stack([torch.softmax(q[h] @ k[h].T / size**0.5, 1) for h in range(heads)])
    mixed = torch.cat([attention[h] @ v[h] for h in range(heads)], 1)
    branch1 = mixed @ mha.out_proj.weight.T + mha.out_proj.bias
    middle = before + branch1
    normed2 = parts.ln_2(middle)
    active = parts.mlp[1](parts.mlp[0](normed2))
    return Block(parts, before, normed1, q, k, v, attention, mixed, branch1, middle, normed2, active, parts.mlp[3](active))
