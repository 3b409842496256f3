"""Grad-CAM++ and its smoothed form."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum
from camdbench.functional.float_precision import to_float64

_FLOOR = 1e-6  # of a denominator that vanishes; with activations >= 0 none is below 2
_EPS_PGC = 1e-6


@explainer(
    "gradcampp",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063, eq. 7, 19",
    cost=Cost(forward=1, tail_backward=1),
    needs=("layer", "gradients"),
    aliases=("gradcam++", "gradcamplusplus"),
    differs=(
        Difference(
            "authors' code",
            "divides alpha by its sum over cells of positive gradient (compat=author)",
            "masks of an ImageNet MobileNetV2 move by at most 0.02",
        ),
        Difference(
            "pytorch-grad-cam",
            "adds 1e-6 to the denominator (compat=pgc)",
            "of the size of 2 G^2: weights shrink to 0.41 in the median, unevenly; masks of an ImageNet MobileNetV2 move by up to 0.06",
        ),
        Difference(
            "torchcam",
            "omits the division (compat=torchcam)",
            "masks of an ImageNet MobileNetV2 move by up to 0.22, AD from 28.0 to 26.6",
        ),
    ),
)
def gradcampp(
    trace: Trace, *, layer: str | None = None, relu: bool = True, compat: Literal["paper", "author", "pgc", "torchcam"] = "paper"
) -> Tensor:
    r"""Grad-CAM++: activations weighted by positive gradients, with second-order weights per grid cell.

    .. math:: w_k = \sum_{ij} \alpha_{ij}\,\mathrm{ReLU}(G_{ij}), \quad \alpha = G^2 / (2 G^2 + S_k G^3)

    G are the gradients of channel k and S_k its sum; alpha = 0 where G = 0. The paper explains exp(y), whose derivatives
    are these up to a common factor. alpha is computed as 1 / (2 + S_k G), which neither underflows nor overflows. If S_k <
    0, impossible in the paper's ReLU networks, the denominator may approach zero or become negative; it keeps its sign and
    a magnitude of at least 1e-6.

    `compat="author"` also divides alpha by its sum over the cells with a positive gradient, as the authors' code does. `pgc`
    adds 1e-6 to the denominator, which shrinks the weights of small gradients. `torchcam` omits the division: its weights
    are sum_ij relu(G)^3.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    weights = _weights(to_float64(seen.activations), to_float64(seen.gradients), compat)
    return weighted_sum(weights, seen.activations, relu=relu)


@explainer(
    "smoothgradcampp",
    paper="Omeiza et al. 2019, arXiv:1908.01224, definition of the averaged derivatives",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    aliases=("smoothgradcam++",),
    stochastic=True,
    differs=(Difference("torchcam", "multiplies by the activations of the last noisy copy", "here by those of the image"),),
)
def smoothgradcampp(
    trace: Trace, *, layer: str | None = None, samples: PositiveInt = 4, std: NonNegativeFloat = 0.3, relu: bool = True
) -> Tensor:
    r"""Smooth Grad-CAM++: Grad-CAM++ with derivatives averaged over noisy copies of the image.

    .. math:: w_k = \sum_{ij} D_2 / (2 D_2 + S_k D_3)\,\mathrm{ReLU}(D_1)

    D1, D2 and D3 are the means of G, G^2 and G^3 over `samples` copies. A and S_k are
    those of the image without noise: the paper writes one A for all. The noise is normal with standard deviation `std` on
    the scale of the network's normalised input. Without noise it is Grad-CAM++.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen = trace.at(layer)
    grids = to_float64(seen.activations)
    one = two = three = torch.zeros_like(grids)
    noise = _noise(trace, samples) * (std * trace.classifier.std)  # (samples, B, 3, H, W)
    for step in noise:
        gradients = to_float64(seen.of(replace(trace.batch, images=trace.images + step)).gradients)
        one, two, three = one + gradients, two + gradients**2, three + gradients**3
    sums = grids.sum((2, 3), keepdim=True)
    ratio = torch.where(two > 0, sums * three / torch.where(two > 0, two, 1), 0)
    weights = torch.where(two > 0, (one / samples).relu() / _apart(2 + ratio), 0).sum((2, 3))
    return weighted_sum(weights, seen.activations, relu=relu)


def _weights(activations: Tensor, gradients: Tensor, compat: str) -> Tensor:
    """(B, K)."""
    positive = gradients.relu()
    if compat == "torchcam":
        return positive.pow(3).sum((2, 3))
    sums = activations.sum((2, 3), keepdim=True)
    if compat == "pgc":
        square = gradients.square()
        alpha = square / (2 * square + sums * gradients.pow(3) + _EPS_PGC)
    else:
        alpha = torch.where(gradients == 0, 0, 1 / _apart(2 + sums * gradients))
    if compat == "author":
        share = torch.where(positive > 0, alpha, 0).sum((2, 3), keepdim=True)
        alpha = alpha / torch.where(share == 0, 1, share)
    return (alpha * positive).sum((2, 3))


def _apart(denominator: Tensor) -> Tensor:
    """The denominator, kept away from zero on the side that it is on."""
    return torch.where(denominator < 0, -1.0, 1.0) * denominator.abs().clamp_min(_FLOOR)


def _noise(trace: Trace, samples: int) -> Tensor:
    """(samples, B, 3, H, W), standard normal."""
    shape = (samples, *trace.images.shape[1:])
    drawn = [torch.randn(shape, generator=trace.random(index, "smoothgradcampp")) for index in range(len(trace.images))]
    return torch.stack(drawn, 1).to(trace.images.device)
