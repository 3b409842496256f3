"""HiResCAM."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace


@explainer(
    "hirescam",
    paper="Draelos & Carin 2020, arXiv:2011.08891, definition of HiResCAM",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
)
def hirescam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""HiResCAM: gradient times activation, summed over channels and rectified.

    .. math:: \mathrm{ReLU}(\sum_k G_k \odot A_k)

    With `relu=False` and a global average pooling + linear head the map sums to the logit minus
    its bias.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    map_ = (seen.gradients * seen.activations).sum(1)
    return map_.relu() if relu else map_
