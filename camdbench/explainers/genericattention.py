"""Generic attention explainability for self-attention."""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.tokens import map_of_row
from camdbench.explainers.common.trace import Trace


@explainer(
    "genericattention",
    paper="Chefer et al. 2021, arXiv:2103.15679, eq. 1, 5-6",
    cost=Cost(forward=1, backward=1),
    needs=("gradients", "attention"),
    refuses="networks other than the vision transformers of torchvision, timm and transformers whose attention is between all tokens",
    aliases=("attentionrelevance",),
)
def genericattention(trace: Trace, *, start: NonNegativeInt = 0) -> Tensor:
    r"""Generic attention explainability: attention x gradient, rectified and accumulated over the blocks.

    .. math:: R \leftarrow R + \mathrm{mean}_h\,\mathrm{ReLU}(\partial y / \partial A_h \odot A_h)\,R, \quad R_0 = I

    One update per block (eq. 5-6). The map is the class token's row of
    R, without the identity; a head that averages the tokens has the mean of their rows. `start` leaves out the first blocks.

    Returns:
        (B, h, w), non-negative.
    """
    found = trace.attention.probabilities
    if start >= len(found):
        raise UsageError(f"genericattention(start={start}): there are {len(found)} blocks, 0 to {len(found) - 1}")
    relevance = torch.eye(found[0].shape[-1], device=found[0].device, dtype=found[0].dtype).expand(len(trace.images), -1, -1)
    for attention, gradient in zip(found[start:], trace.attention_gradients[start:], strict=True):
        step = (gradient * attention.detach()).relu().mean(1)  # (B, N, N)
        relevance = relevance + step @ relevance
    return map_of_row(trace, relevance)
