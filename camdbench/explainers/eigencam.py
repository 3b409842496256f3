"""Eigen-CAM, EigenGrad-CAM and Seg-Eigen-CAM: the first principal component of a layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.float_precision import to_float64

_NOISE = 1e-5  # of the sizes that were added up: a sum below it is rounding and has no sign


@explainer(
    "eigencam",
    paper="Muhammad & Yeasin 2020, arXiv:2008.00299, definition of the projection on the first singular vector",
    cost=Cost(forward=1),
    needs=("layer",),
    differs=(
        Difference("pytorch-grad-cam", "centres the channels and rectifies (compat=pgc)", "the sign is left to the linear algebra library"),
    ),
    values="(-inf, inf)",
)
def eigencam(
    trace: Trace, *, layer: str | None = None, sign: Literal["sum", "extreme"] = "sum", compat: Literal["paper", "pgc"] = "paper"
) -> Tensor:
    r"""Eigen-CAM: activations projected on their first principal component (class-agnostic).

    .. math:: X v_1, \quad X = U S V^\top

    X has the shape (grid cells, channels). The paper does not centre X; with activations >= 0 its map has
    no negative value. The paper leaves the sign of v_1 open. `sign="sum"` chooses the sign for which the map correlates
    with the sum over channels: sum_p map_p sum_k X_pk >= 0. `extreme` makes the value farthest from zero positive
    (Seg-Eigen-CAM, eq. 13); `sum` does this too if the sums vanish, as behind a layer norm. `compat="pgc"` centres the
    channels and rectifies; pytorch-grad-cam leaves its sign to the linear algebra library.

    Returns:
        (B, h, w), signed; non-negative for `compat="pgc"`.
    """
    activations = trace.at(layer).activations
    map_ = principal_map(activations, centre=compat == "pgc", sign=sign)
    return map_.relu() if compat == "pgc" else map_


@explainer(
    "eigengradcam",
    paper="pytorch-grad-cam (Gildenblat et al. 2021), eigen_grad_cam.py",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
    differs=(Difference("pytorch-grad-cam", "leaves the sign to the linear algebra library", "a map may show the opposite half"),),
)
def eigengradcam(
    trace: Trace, *, layer: str | None = None, sign: Literal["sum", "extreme"] = "sum", centre: bool = True, relu: bool = True
) -> Tensor:
    r"""EigenGradCAM: gradient times activation projected on its first principal component.

    .. math:: X v_1, \quad X = G \odot A = U S V^\top

    Eigen-CAM of G * A instead of A, centred and rectified as in pytorch-grad-cam. There the sign is arbitrary; here
    `sign="sum"` makes the map correlate with HiResCAM, the sum over channels.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    map_ = principal_map(seen.gradients * seen.activations, centre=centre, sign=sign)
    return map_.relu() if relu else map_


@explainer(
    "segeigencam",
    paper="Chung & Ying 2025, doi 10.3390/app15137562, eq. 10-13",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
)
def segeigencam(trace: Trace, *, layer: str | None = None, relu: bool = True) -> Tensor:
    r"""Seg-Eigen-CAM: activations times absolute gradients, projected on their first principal component.

    .. math:: X v_1, \quad X = |G| \odot A = U S V^\top

    X is centred. The value farthest from zero is made positive (eq. 13), and the map is rectified, as in pytorch-grad-cam.
    If the least and the greatest value are equally far, the sign stays that of the decomposition. The method was published for
    segmentation networks; of a classifier it explains the class logit.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    map_ = principal_map(seen.gradients.abs() * seen.activations, centre=True, sign="extreme")
    return map_.relu() if relu else map_


def principal_map(features: Tensor, *, centre: bool, sign: Literal["sum", "extreme"]) -> Tensor:
    """X v_1 (B, h, w) for features (B, K, h, w) read as X (places, K); from the smaller of its two Gram matrices."""
    matrix = to_float64(features.flatten(2).transpose(1, 2))  # (B, P, K)
    if centre:
        matrix = matrix - matrix.mean(1, keepdim=True)
    if matrix.shape[1] <= matrix.shape[2]:
        values, vectors = torch.linalg.eigh(matrix @ matrix.mT)  # (B, P), (B, P, P), ascending
        flat = vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
    else:
        vectors = torch.linalg.eigh(matrix.mT @ matrix).eigenvectors  # (B, K, K)
        flat = (matrix @ vectors[:, :, -1:]).squeeze(2)
    flat = flat * orientation(flat, matrix, sign)[:, None]
    return flat.unflatten(1, tuple(features.shape[2:])).to(features)


def orientation(flat: Tensor, matrix: Tensor, sign: Literal["sum", "extreme"]) -> Tensor:
    """Sign (B,) of principal maps (B, P) of features (B, P, K), which the decomposition leaves open; see `eigencam`."""
    farthest = torch.where(flat.amin(1).abs() > flat.amax(1).abs(), -1.0, 1.0)
    agreement, scale = (flat * matrix.sum(2)).sum(1), (flat.abs() * matrix.abs().sum(2)).sum(1)
    by_sum = (agreement.abs() > _NOISE * scale) & (sign == "sum")
    return torch.where(by_sum, agreement.sign(), farthest)
