"""KPCA-CAM: the first kernel principal component of a layer."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.eigencam import orientation
from camdbench.functional.float_precision import to_float64

Kernel = Literal["sigmoid", "rbf", "linear"]


@explainer(
    "kpcacam",
    paper="Karmani et al. 2024, arXiv:2410.00267, definition of the kernel projection",
    cost=Cost(forward=1),
    needs=("layer",),
    differs=(
        Difference(
            "pytorch-grad-cam",
            "takes the sign by which the largest entry of the eigenvector is positive, in the type of the activations",
            "its rectified map may be the complement; small activations in float32 leave rounding noise",
        ),
    ),
)
def kpcacam(
    trace: Trace,
    *,
    layer: str | None = None,
    kernel: Literal["sigmoid", "rbf", "linear"] = "sigmoid",
    gamma: PositiveFloat | None = None,
    sign: Literal["sum", "extreme"] = "sum",
    relu: bool = True,
) -> Tensor:
    r"""KPCA-CAM: activations projected on their first kernel principal component (class-agnostic).

    .. math:: \sqrt{\lambda_1}\,v_1, \quad J k(X, X) J = V \Lambda V^\top

    X has the shape (grid cells, channels) and is centred; J centres the kernel matrix. k(u, v) is tanh(gamma u'v + 1), or
    exp(-gamma |u - v|^2) for `rbf`, or u'v for `linear`, which gives centred Eigen-CAM; gamma is 1 / channels by default. The
    first component is that of the largest eigenvalue; the sigmoid kernel matrix has negative ones, too. As tanh saturates, the
    map depends on the scale of a layer with large activations. The sign is chosen as in `eigencam`, then the map is rectified.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    activations = trace.at(layer).activations
    matrix = to_float64(activations.flatten(2).transpose(1, 2))  # (B, P, K)
    matrix = matrix - matrix.mean(1, keepdim=True)
    map_ = kernel_component(matrix, kernel, gamma or 1 / matrix.shape[2])
    map_ = (map_ * orientation(map_, matrix, sign)[:, None]).unflatten(1, tuple(activations.shape[2:])).to(activations)
    return map_.relu() if relu else map_


def kernel_component(matrix: Tensor, kernel: Kernel, gamma: float) -> Tensor:
    """Projections (B, P) of points (B, P, K) on their first kernel principal component, of either sign."""
    products = matrix @ matrix.mT
    if kernel == "sigmoid":
        products = torch.tanh(gamma * products + 1)
    elif kernel == "rbf":
        lengths = products.diagonal(dim1=1, dim2=2)
        products = torch.exp(-gamma * (lengths[:, :, None] + lengths[:, None] - 2 * products).clamp_min(0))
    rows = products.mean(1, keepdim=True)
    centred = products - rows - rows.mT + rows.mean(2, keepdim=True)
    values, vectors = torch.linalg.eigh(centred)  # ascending
    noise = 8 * products.shape[1] * torch.finfo(products.dtype).eps * products.abs().amax((1, 2))[:, None]
    return vectors[:, :, -1] * torch.where(values[:, -1:] > noise, values[:, -1:], 0).sqrt()
