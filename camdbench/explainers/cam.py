"""CAM, the first class activation map."""

from __future__ import annotations

from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum


@explainer(
    "cam",
    paper="Zhou et al. 2016, arXiv:1512.04150, eq. 2",
    cost=Cost(forward=1),
    needs=("layer", "linear head"),
    refuses="networks whose head behind the layer is not global average pooling and a linear layer",
    values="(-inf, inf)",
    objective="linear",
)
def cam(trace: Trace, *, layer: str | None = None, relu: bool = False) -> Tensor:
    r"""CAM: activations weighted by the linear head's weights of the class.

    .. math:: \sum_k W_{ck} A_k

    The paper does not rectify; `relu=True` does. A network whose logits are not mean(A) W' + b is
    refused. Grad-CAM, XGrad-CAM and HiResCAM are this map divided by the number of grid cells.

    Returns:
        (B, h, w), signed unless `relu=True`.
    """
    seen = trace.at(layer)
    return weighted_sum(seen.explained_weights, seen.activations, relu=relu)
