"""ShapleyCAM: Grad-CAM with second derivatives."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum


@explainer(
    "shapleycam",
    paper="Cai 2025, arXiv:2501.06261, definition of ShapleyCAM; released shapley_cam.py",
    cost=Cost(
        forward=1, tail_backward=3, note="1 tail backward on a linear head; 1 forward and 1 tail backward more if attention is fused"
    ),
    needs=("layer", "gradients"),
)
def shapleycam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""ShapleyCAM: activations weighted by their spatially averaged second-order Shapley values.

    .. math:: w_k = \mathrm{mean}_{ij}(G - H A / 2)

    H is the Hessian of the target logit with respect to the activations. H A is one
    Hessian-vector product with all of the layer's output as A, prefix tokens included. On a head without curvature it is
    Grad-CAM. The explained score is the logit; the paper also proposes others.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    weights = (seen.gradients - seen.curvature / 2).mean((2, 3))
    return weighted_sum(weights, seen.activations, relu=relu)
