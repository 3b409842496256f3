"""Raw attention of one block, and attention rollout over all blocks."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.tokens import fuse_heads, map_of_row
from camdbench.explainers.common.trace import Trace


@explainer(
    "rawattention",
    paper="Chefer et al. 2021, arXiv:2012.09838, section 4 (baseline)",
    cost=Cost(forward=1),
    needs=("attention",),
    refuses="networks other than the vision transformers of torchvision, timm and transformers whose attention is between all tokens",
    aliases=("attention",),
    values="[0, 1]",
)
def rawattention(trace: Trace, *, block: int = -1, fusion: Literal["mean", "max", "min"] = "mean") -> Tensor:
    r"""Raw attention: attention of the class token in one block, fused over heads (class-agnostic).

    .. math:: \mathrm{fuse}_h\,A_{h, \mathrm{cls}}

    `block` counts from the first, or from the last if negative; `fusion` combines the heads. If the head averages the
    tokens, their rows are averaged.

    Returns:
        (B, h, w) in [0, 1].
    """
    found = trace.attention.probabilities
    if not -len(found) <= block < len(found):
        raise UsageError(f"rawattention(block={block}): the network has {len(found)} blocks; choose 0 to {len(found) - 1}")
    return map_of_row(trace, fuse_heads(found[block].detach(), fusion))


@explainer(
    "rollout",
    paper="Abnar & Zuidema 2020, arXiv:2005.00928, definition of attention rollout",
    cost=Cost(forward=1),
    needs=("attention",),
    differs=(
        Difference("vit-explain", "divides by the sums of other rows and drops the lowest 90 %", "rows sum to 0.92 to 1.23 instead of 1"),
        Difference(
            "Transformer-Explainability",
            "starts at the second block in its benchmark scripts (start=1)",
            "masks of a transformer of three blocks differ by 0.09 on average",
        ),
    ),
    values="[0, 1]",
    refuses="networks other than the vision transformers of torchvision, timm and transformers whose attention is between all tokens",
    aliases=("attentionrollout",),
)
def rollout(
    trace: Trace,
    *,
    residual: bool = True,
    fusion: Literal["mean", "max", "min"] = "mean",
    discard: NonNegativeFloat = 0.0,
    start: NonNegativeInt = 0,
) -> Tensor:
    r"""Attention rollout: product over blocks of attention with residual connections (class-agnostic).

    .. math:: \prod_l (0.5 A_l + 0.5 I)

    The last block is on the left; A is the attention fused over heads, each row scaled to sum to 1; without `residual`, A
    alone. The map is the class token's row. The paper averages the heads. `fusion` and
    `discard`, the fraction of an image's smallest entries of A that are set to zero, are additions of vit-explain.
    `start` leaves out the first blocks.

    Returns:
        (B, h, w) in [0, 1].
    """
    found = trace.attention.probabilities
    if discard >= 1:
        raise UsageError(f"rollout(discard={discard}): expected a fraction below 1")
    if start >= len(found):
        raise UsageError(f"rollout(start={start}): the network has {len(found)} blocks; choose 0 to {len(found) - 1}")
    steps = [_step(fuse_heads(block.detach(), fusion), discard, residual=residual) for block in found[start:]]
    product = steps[0]
    for step in steps[1:]:
        product = step @ product
    return map_of_row(trace, product)


def _step(attention: Tensor, discard: float, *, residual: bool) -> Tensor:
    """Transition matrix of one block from token to token (B, N, N); rows sum to 1."""
    flat = attention.flatten(1)
    smallest = flat.sort(dim=1, stable=True).indices[:, : int(discard * flat.shape[1])]
    kept = flat.scatter(1, smallest, 0).view_as(attention)
    if residual:
        kept = 0.5 * kept + 0.5 * torch.eye(kept.shape[1], device=kept.device, dtype=kept.dtype)
    return kept / kept.sum(2, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)
