"""Grad-CAM."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.explainers.trace import Trace


@explainer(
    "gradcam",
    paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
)
def gradcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    """Activations weighted by the spatial mean of their gradients, summed over channels and rectified.

    (B, h, w). `relu=False` keeps the evidence against the class. On a GAP + linear head it equals HiResCAM.
    """
    seen = trace.at(layer)
    weights = seen.gradients.mean((2, 3), keepdim=True)  # (B, K, 1, 1)
    map_ = (weights * seen.activations).sum(1)
    return map_.relu() if relu else map_
