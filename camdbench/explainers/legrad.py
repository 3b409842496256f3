"""LeGrad."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.tokens import map_of_tokens
from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import transformer_of
from camdbench.models.pass_counts import PassCounts


@explainer(
    "legrad",
    paper="Bousselham et al. 2024, arXiv:2404.03214, section 3",
    cost=Cost(forward=1, backward=1),
    needs=("gradients", "attention"),
    differs=(Difference("torchcam", "scores the mean of all tokens", "not the network's score; here the class token's, as in the paper"),),
    refuses="networks other than the vision transformers of torchvision, timm and transformers whose attention is between all tokens",
)
def legrad(trace: Trace, *, start: NonNegativeInt = 0) -> Tensor:
    r"""LeGrad: rectified gradient of each block's class score w.r.t. its attention, averaged over blocks.

    .. math:: \mathrm{mean}_l\,\mathrm{mean}_{h, q}\,\mathrm{ReLU}(\partial s_l / \partial A_{l, h, q})

    Means are over blocks l, heads h and queries q, per key, without the prefix tokens; s_l is the class score of the tokens
    of block l behind the network's last norm and head. Attention itself is not multiplied in. `start` leaves out the first
    blocks.

    The network's own head pools the tokens. A score depends on the attention of one block only through that block, so all
    backward passes together cost one.

    Returns:
        (B, h, w), non-negative.
    """
    seen, head = trace.attention, transformer_of(trace.classifier.network).head
    if start >= len(seen.probabilities):
        raise UsageError(f"legrad(start={start}): there are {len(seen.probabilities)} blocks, 0 to {len(seen.probabilities) - 1}")
    total = torch.zeros_like(seen.probabilities[0][:, 0, 0])  # (B, N)
    for attention, tokens in zip(seen.probabilities[start:], seen.tokens[start + 1 :], strict=True):
        with torch.enable_grad():
            score = trace.explained(head(tokens)).sum()
            (gradient,) = torch.autograd.grad(score, attention, retain_graph=True)
        total += gradient.relu().mean((1, 2))
    trace.classifier.passes += PassCounts(backward=len(trace.images))
    return map_of_tokens(trace, total / (len(seen.probabilities) - start))
