"""XGrad-CAM."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum

_FLOOR = 1e-6  # of |S_k|, as a share of sum |A_k|; with activations >= 0 the share is 1


@explainer(
    "xgradcam",
    paper="Fu et al. 2020, arXiv:2008.02312, definition of the channel weights; released XGrad-CAM.py",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
)
def xgradcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""XGrad-CAM: activations weighted by the activation-weighted mean of their gradients.

    .. math:: w_k = \sum_{ij} A_{ij} G_{ij} / S_k, \quad S_k = \sum_{ij} A_{ij}

    If activations have both signs, S_k may cancel: it keeps its sign and a
    magnitude of at least 1e-6 sum |A_k|; a channel of zeros has weight 0.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    activations = seen.activations
    sums, sizes = activations.sum((2, 3)), activations.abs().sum((2, 3))  # (B, K)
    floor = torch.where(sizes > 0, _FLOOR * sizes, 1)
    divisors = torch.where(sums < 0, -1.0, 1.0) * torch.maximum(sums.abs(), floor)
    weights = (seen.gradients * activations).sum((2, 3)) / divisors
    return weighted_sum(weights, activations, relu=relu)
