"""Attention as it is: of one block, and rolled out over all of them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError
from camdbench.explainers.tokens import fuse_heads, map_of_row
from camdbench.explainers.trace import Trace


@explainer(
    "rawattention",
    paper="Chefer et al. 2021, arXiv:2012.09838, section 4 (baseline)",
    cost=Cost(forward=1),
    needs=("attention",),
    refuses="networks other than the vision transformers of torchvision and timm",
    aliases=("attention",),
)
def rawattention(trace: Trace, *, block: int = -1, fusion: Literal["mean", "max", "min"] = "mean") -> Tensor:
    """What the class token attends to in one block, over all heads; the same for every class.

    (B, h, w). `block` counts from the first, or from the last where negative; `fusion` joins the heads. Where the
    head averages the places, their rows are averaged.
    """
    found = trace.attention.probabilities
    if not -len(found) <= block < len(found):
        raise UsageError(f"rawattention(block={block}): there are {len(found)} blocks, 0 to {len(found) - 1}")
    return map_of_row(trace, fuse_heads(found[block].detach(), fusion))


@explainer(
    "rollout",
    paper="Abnar & Zuidema 2020, arXiv:2005.00928, eq. 1",
    cost=Cost(forward=1),
    needs=("attention",),
    refuses="networks other than the vision transformers of torchvision and timm",
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
    """Attention multiplied through the blocks, each with its residual connection; the same for every class.

    (B, h, w). With A the attention over all heads, a block passes on 0.5 A + 0.5 I (A alone without `residual`), each
    row scaled to sum to 1, and the map is the class token's row of the product of all blocks, the last on the left.
    The paper averages the heads; `fusion` and `discard`, the share of an image's smallest entries of A that are set
    to zero, are additions of the method's users, and `start` leaves out the first blocks.
    """
    found = trace.attention.probabilities
    if discard >= 1:
        raise UsageError(f"rollout(discard={discard}): give a share below 1")
    if start >= len(found):
        raise UsageError(f"rollout(start={start}): there are {len(found)} blocks, 0 to {len(found) - 1}")
    steps = [_step(fuse_heads(block.detach(), fusion), discard, residual=residual) for block in found[start:]]
    product = steps[0]
    for step in steps[1:]:
        product = step @ product
    return map_of_row(trace, product)


def _step(attention: Tensor, discard: float, *, residual: bool) -> Tensor:
    """What one block passes on from token to token (B, N, N); rows sum to 1."""
    flat = attention.flatten(1)
    smallest = flat.sort(dim=1, stable=True).indices[:, : int(discard * flat.shape[1])]
    kept = flat.scatter(1, smallest, 0).view_as(attention)
    if residual:
        kept = 0.5 * kept + 0.5 * torch.eye(kept.shape[1], device=kept.device, dtype=kept.dtype)
    return kept / kept.sum(2, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)
