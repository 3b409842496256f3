"""LeGrad."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError
from camdbench.explainers.tokens import map_of_tokens
from camdbench.explainers.trace import Trace
from camdbench.models.attention import transformer_of
from camdbench.models.classifier import Passes


@explainer(
    "legrad",
    paper="Bousselham et al. 2024, arXiv:2404.03214, section 3",
    cost=Cost(forward=1, backward=1),
    needs=("gradients", "attention"),
    refuses="networks other than the vision transformers of torchvision and timm",
)
def legrad(trace: Trace, *, start: NonNegativeInt = 0) -> Tensor:
    """How strongly each block's own class score reacts to its attention, averaged over blocks, heads and queries.

    (B, h, w). The tokens that block l returns go through the network's last norm and head, which gives a score s_l;
    the map is the mean over blocks of the mean over heads and queries of relu(d s_l / d A_l), key by key, without the
    prefix tokens. Attention itself is not multiplied in. `start` leaves out the first blocks.

    The tokens are pooled as the network's own head does it. A score depends on one block's attention only through
    that block, so all backward passes together cost one.
    """
    seen, head = trace.attention, transformer_of(trace.classifier.network).head
    if start >= len(seen.probabilities):
        raise UsageError(f"legrad(start={start}): there are {len(seen.probabilities)} blocks, 0 to {len(seen.probabilities) - 1}")
    targets = trace.targets[:, None]
    total = torch.zeros_like(seen.probabilities[0][:, 0, 0])  # (B, N)
    for attention, tokens in zip(seen.probabilities[start:], seen.tokens[start + 1 :], strict=True):
        with torch.enable_grad():
            score = head(tokens).gather(1, targets).sum()
            (gradient,) = torch.autograd.grad(score, attention, retain_graph=True)
        total += gradient.relu().mean((1, 2))
    trace.classifier.passes += Passes(backward=len(trace.images))
    return map_of_tokens(trace, total / (len(seen.probabilities) - start))
