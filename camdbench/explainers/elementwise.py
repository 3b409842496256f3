"""Grad-CAM element by element."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.explainers.trace import Trace


@explainer(
    "elementwise",
    paper="pytorch-grad-cam (Gildenblat et al. 2021), GradCAMElementWise",
    cost="1 forward + 1 tail backward",
    needs=("layer", "gradients"),
    aliases=("gradcamelementwise",),
)
def elementwise(trace: Trace, *, layer: str | None = None) -> Tensor:
    """Gradient times activation at every place, rectified in each channel before channels are added up.

    (B, h, w). sum_k relu(G_k A_k). It equals Layer-CAM where no activation is negative.
    """
    seen = trace.at(layer)
    return (seen.gradients * seen.activations).relu().sum(1)
