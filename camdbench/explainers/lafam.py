"""LaFAM: the mean over channels of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace

_NOISE = 1e-6  # of the mean absolute activation


@explainer(
    "lafam",
    paper="Karjauv & Albayrak 2024, arXiv:2407.06059, definition of the mean map",
    cost=Cost(forward=1),
    needs=("layer",),
    values="(-inf, inf)",
)
def lafam(trace: Trace, *, layer: str | None = None) -> Tensor:
    r"""LaFAM: mean of the activations over channels (class-agnostic).

    .. math:: \frac{1}{K} \sum_k A_k

    It shows what a layer's activations show without any weights, and so whether the weights of a CAM add anything. Behind a layer
    norm the channels sum to zero up to its weights; a mean within rounding of its summands counts as zero.

    Returns:
        (B, h, w), of the sign of the activations.
    """
    activations = trace.at(layer).activations
    mean = activations.mean(1)
    return torch.where(mean.abs() > _NOISE * activations.abs().mean(1), mean, 0)
