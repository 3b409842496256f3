"""Grad-CAM."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer(
    "gradcam",
    paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
    differs=(
        Difference(
            "torchcam", "normalises on the layer's grid, before the map is enlarged", "masks differ by up to 0.10 between grid cells"
        ),
        Difference(
            "Captum",
            "does not rectify and enlarges by nearest neighbour, both by default",
            "masks of shortcuts-ce differ by 0.13 on average, by 0.04 if it rectifies",
        ),
    ),
)
def gradcam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""Grad-CAM: activations weighted by their spatially averaged gradients, summed and rectified.

    .. math:: \mathrm{ReLU}(\sum_k \mathrm{mean}(G_k)\,A_k)

    `relu=False` keeps negative values. On a global average pooling + linear head it
    equals HiResCAM.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    weights = seen.gradients.mean((2, 3), keepdim=True)  # (B, K, 1, 1)
    map_ = (weights * seen.activations).sum(1)
    return map_.relu() if relu else map_
