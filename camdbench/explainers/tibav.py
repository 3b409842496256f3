"""Transformer attribution: relevance times attention gradient, rolled out over the blocks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn import functional as F

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.tokens import map_of_row
from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import Transformer, transformer_of
from camdbench.models.transformer_parts import BlockParts, TransformerParts, parts_of


@explainer(
    "tibav",
    paper="Chefer et al. 2021, arXiv:2012.09838, section 3",
    cost=Cost(forward=1, backward=1, note="relevance propagation through the blocks is not counted"),
    needs=("gradients", "attention"),
    refuses="networks other than the vision transformers of torchvision and timm, and ViT, ViT-MSN and DeiT of transformers, whose head "
    "is linear in class tokens or a mean of tokens",
    aliases=("transformerattribution",),
    differs=(Difference("released code", "sums over a whole tensor", "a map depends on its batch"),),
    objective="logit",
)
def tibav(trace: Trace, *, start: NonNegativeInt = 0) -> Tensor:
    r"""Transformer attribution (Chefer et al.): relevance x attention gradient, rolled out over blocks.

    .. math:: \prod_b (I + \mathrm{mean}_h\,\mathrm{ReLU}(\partial y / \partial A_b \odot R_b))

    The map is the class token's row, the last block is on the left, and R_b is the relevance of attention A_b. Relevance
    starts as a one at the class and is propagated layer by layer. A linear layer splits it in proportion to its positive
    contributions x_j w_ij; a sum and a product split it in proportion to their terms, normalised to conserve the total;
    norms and activations pass it on. `start` leaves out the first blocks.

    The paper sums over a whole tensor, here over one image, so no image depends on the others of its batch. A distilled DeiT
    has two class tokens: its logit is the sum of two, and both rows are averaged. A mean over tokens is a linear layer;
    the rows of all tokens are averaged then.

    Returns:
        (B, h, w), non-negative.
    """
    relevance, gradients = relevance_of_attention(trace).attention, trace.attention_gradients
    if start >= len(relevance):
        raise UsageError(f"tibav(start={start}): there are {len(relevance)} blocks, 0 to {len(relevance) - 1}")
    product = torch.eye(relevance[0].shape[-1], device=trace.images.device, dtype=relevance[0].dtype)
    for gradient, part in zip(gradients[start:], relevance[start:], strict=True):
        weighted = (gradient * part).relu().mean(1)  # (B, N, N)
        product = product + weighted @ product  # (I + E) times what came before
    return map_of_row(trace, product)


class Relevance(NamedTuple):
    """Relevance of a class in each block.

    Attributes:
        attention: for each block (B, heads, N, N).
        tokens: for each block (B, N, C), of what it reads.
    """

    attention: list[Tensor]
    tokens: list[Tensor]


def relevance_of_attention(trace: Trace) -> Relevance:
    """Relevance, from a one at the explained class down to the first block."""
    network = trace.classifier.network
    parts, seen = parts_of(network), trace.attention
    with torch.no_grad():
        held = _of_tokens(trace, parts, transformer_of(network))
        found = Relevance([], [])
        for block, attention, before, after in reversed(
            list(zip(parts.blocks, seen.probabilities, seen.tokens[:-1], seen.tokens[1:], strict=True))
        ):
            passed, held = _through_block(_Pass(block, attention.detach(), before.detach(), after.detach()), held)
            found.attention.insert(0, passed)
            found.tokens.insert(0, held)
    return found


def _of_tokens(trace: Trace, parts: TransformerParts, transformer: Transformer) -> Tensor:
    """The relevance (B, N, C) of the tokens behind the last block."""
    readers = transformer.readers
    tokens = trace.attention.tokens[-1].detach()
    normed, one_hot = parts.norm(tokens), F.one_hot(trace.targets, parts.classifiers[0].out_features).to(tokens.dtype)
    held = torch.zeros_like(tokens)
    if not readers:
        places = normed[:, transformer.prefix :].clamp_min(0)
        pooled = parts.pooled_norm(normed[:, transformer.prefix :].mean(1))
        of_mean = _through_linear(pooled, parts.classifiers[0].weight, one_hot)
        held[:, transformer.prefix :] = places * _ratio(of_mean, places.sum(1))[:, None]
        return held
    shares = [one_hot]
    if len(readers) == 2:
        logits = [head(normed[:, reader]) for head, reader in zip(parts.classifiers, readers, strict=True)]
        shares = list(_through_sum(logits[0], logits[1], one_hot))
    for head, reader, share in zip(parts.classifiers, readers, shares, strict=True):
        held[:, reader] = _through_linear(normed[:, reader], head.weight, share)
    return held


class _Pass:
    """The values inside one block, computed again from what it read."""

    def __init__(self, block: BlockParts, attention: Tensor, before: Tensor, after: Tensor) -> None:
        self.block, self.attention, self.before = block, attention, before
        self.normed1 = block.norm1(before)
        joint = F.linear(self.normed1, block.qkv_weight, block.qkv_bias).unflatten(2, (3, block.heads, -1))
        self.q, self.k, self.v = joint.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, d)
        self.mixed = (attention @ self.v).transpose(1, 2).flatten(2)
        self.branch1 = block.scale1(block.project(self.mixed))
        self.middle = before + self.branch1
        self.normed2 = block.norm2(self.middle)
        self.active = block.activation(block.expand(self.normed2))
        self.branch2 = block.scale2(block.contract(self.active))
        if not torch.allclose(self.middle + self.branch2, after, rtol=1e-3, atol=1e-4 * float(after.abs().max())):
            raise NotApplicable("a block computes something else than its layers say, so there is no rule for it")


def _through_block(values: _Pass, held: Tensor) -> tuple[Tensor, Tensor]:
    """The relevance of a block's attention, and of the tokens that it read."""
    block = values.block
    around, inside = _through_sum(values.middle, values.branch2, held)
    inside = _through_linear(values.active, block.contract.weight, inside)
    held = around + _through_linear(values.normed2, block.expand.weight, inside)
    around, inside = _through_sum(values.before, values.branch1, held)
    inside = _through_linear(values.mixed, block.project.weight, inside)
    attention, of_v = _through_product(values.attention, values.v, inside.unflatten(2, (block.heads, -1)).transpose(1, 2))
    of_q, of_k = _through_product(values.q, values.k.transpose(-2, -1), attention)
    joint = torch.stack([of_q, of_k.transpose(-2, -1), of_v], 2)  # (B, heads, 3, N, d)
    joint = joint.permute(0, 3, 2, 1, 4).flatten(2)  # (B, N, 3 heads d)
    return attention, around + _through_linear(values.normed1, block.qkv_weight, joint)


def _through_linear(values: Tensor, weight: Tensor, held: Tensor) -> Tensor:
    """sum_i (x_j w_ij)^+ / sum_k (x_k w_ik)^+ R_i; the bias takes nothing."""
    up, down = values.clamp_min(0), values.clamp_max(0)
    positive, negative = weight.clamp_min(0), weight.clamp_max(0)
    share = _ratio(held, F.linear(up, positive) + F.linear(down, negative))
    return up * (share @ positive) + down * (share @ negative)


def _through_sum(first: Tensor, second: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """R u / (u + v) and R v / (u + v), each scaled so that an image's two parts hold shares of R that are not negative."""
    share = _ratio(held, first + second)
    parts = (first * share, second * share)
    dims = tuple(range(1, held.ndim))
    sums = [part.sum(dims, keepdim=True) for part in parts]
    size = sums[0].abs() + sums[1].abs()
    total = held.sum(dims, keepdim=True)
    first, second = (part * _ratio(total * _ratio(own.abs(), size), own) for part, own in zip(parts, sums, strict=True))
    return first, second


def _through_product(left: Tensor, right: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """X (R / (X Y) Y') and Y (X' R / (X Y)), half of R each: both sides would hold all of it."""
    share = _ratio(held, left @ right)
    return left * (share @ right.transpose(-2, -1)) / 2, right * (left.transpose(-2, -1) @ share) / 2


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and zero where there is nothing to divide by."""
    enough = denominator.abs() > torch.finfo(denominator.dtype).tiny
    return torch.where(enough, numerator / torch.where(enough, denominator, 1), 0)
