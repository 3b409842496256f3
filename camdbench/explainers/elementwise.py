"""Grad-CAM element by element."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer(
    "elementwise",
    paper="pytorch-grad-cam (Gildenblat et al. 2021), grad_cam_elementwise.py",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
    aliases=("gradcamelementwise",),
)
def elementwise(trace: Trace, *, layer: str | None = None) -> Tensor:
    r"""Element-wise Grad-CAM: gradient times activation, rectified per channel and summed over channels.

    .. math:: \sum_k \mathrm{ReLU}(G_k A_k)

    It equals Layer-CAM if no activation is negative.

    Returns:
        (B, h, w), non-negative.
    """
    seen = trace.at(layer)
    return (seen.gradients * seen.activations).relu().sum(1)
