"""Gradients at the pixels: vanilla, integrated along a path, and averaged over noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.map_sum import Completeness
from camdbench.core.option_types import TwoOrMore
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import chunks, fill_image
from camdbench.explainers.common.noisy_copies import drawing, noise_width
from camdbench.explainers.common.trace import Trace
from camdbench.functional.running_moments import RunningMoments

Channels = Literal["max", "sum", "abs"]


@explainer(
    "saliency",
    paper="Simonyan et al. 2014, arXiv:1312.6034, section 3",
    cost=Cost(forward=1, backward=1),
    needs=("gradients",),
    aliases=("gradient", "vanillagradient"),
)
def saliency(trace: Trace, *, channels: Literal["max", "sum", "abs"] = "max") -> Tensor:
    r"""Vanilla gradient: gradient of the class logit at each pixel, maximum magnitude over colour channels.

    .. math:: \max_c |\partial y / \partial x_c|

    `channels` reduces the colours: `max` of magnitudes (the paper), signed `sum`, or `abs`, the sum of
    magnitudes. All methods of this family differentiate with respect to pixels in [0, 1], before the normalisation.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return reduce_channels(trace.pixel_gradients, channels)


@explainer(
    "inputxgradient",
    paper="Shrikumar et al. 2016, arXiv:1605.01713; Captum, input_x_gradient.py",
    cost=Cost(forward=1, backward=1),
    needs=("gradients",),
    normalisation="max",
    values="(-inf, inf)",
)
def inputxgradient(trace: Trace, *, channels: Literal["max", "sum", "abs"] = "sum") -> Tensor:
    r"""Input x gradient: pixel values times their gradients, summed over colour channels.

    .. math:: \sum_c x_c\,\partial y / \partial x_c

    Pixels are in [0, 1], so a black pixel has value 0. `channels` as in `saliency`. As masks, the signed
    maps of this family keep positive values only.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    return reduce_channels(trace.images * trace.pixel_gradients, channels)


@explainer(
    "integratedgradients",
    paper="Sundararajan et al. 2017, arXiv:1703.01365, eq. 1, 3",
    cost=Cost(forward=1, repeats=(Repeat("steps", forward=1, backward=1),)),
    needs=("gradients",),
    aliases=("ig",),
    normalisation="max",
    differs=(Difference("paper", "integrates by a Riemann sum", "more steps for the same accuracy"),),
    completeness=Completeness("baseline", when={"channels": "sum"}),
    values="(-inf, inf)",
)
def integratedgradients(
    trace: Trace, *, steps: PositiveInt = 50, baseline: Literal["mean", "black"] = "black", channels: Literal["max", "sum", "abs"] = "sum"
) -> Tensor:
    r"""Integrated Gradients: path integral of gradients from a baseline to the image.

    .. math:: (x - x_0) \odot \int_0^1 \nabla y(x_0 + a (x - x_0))\,da

    With channels="sum" the map sums to
    y(x) - y(x0). The integral is computed by Gauss-Legendre quadrature with `steps` nodes, as in Captum, which needs fewer
    than the paper's Riemann sum (eq. 3). The baseline is black (the paper's choice for images) or the network's mean colour.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    start = fill_image(trace, baseline)
    places, weights = (torch.from_numpy(values).to(trace.images) for values in np.polynomial.legendre.leggauss(steps))
    places, weights = (places + 1) / 2, weights / 2
    total = torch.zeros_like(trace.images)
    for part in chunks(trace, steps, gradients=True):
        points = start[:, None] + places[part, None, None, None] * (trace.images - start)[:, None]  # (B, n, 3, H, W)
        total += torch.einsum("n,bnchw->bchw", weights[part], _gradients_at(trace, points))
    return reduce_channels((trace.images - start) * total, channels)


@explainer(
    "smoothgrad",
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 2.2; squared: Hooker et al. 2019, arXiv:1806.10758, section 4.1",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, backward=1),)),
    needs=("gradients",),
    stochastic=True,
)
def smoothgrad(
    trace: Trace,
    *,
    samples: PositiveInt = 50,
    noise: PositiveFloat = 0.15,
    channels: Literal["max", "sum", "abs"] = "max",
    squared: bool = False,
) -> Tensor:
    r"""SmoothGrad: mean gradient over noisy copies of the image.

    .. math:: \frac{1}{n} \sum_i \nabla y(x + e_i)

    The noise e_i is Gaussian with standard deviation `noise` times the image's range of values. The
    paper recommends 10 to 20 % and 50 samples. The signed gradients are averaged before `channels` reduces the colours.
    `squared=True` averages their squares instead (SmoothGrad-Squared of ROAR).

    Returns:
        (B, H, W), non-negative unless `channels="sum"` without `squared`.
    """
    total = torch.zeros_like(trace.images)
    for gradients in _noisy_gradients(trace, samples, noise):
        total += (gradients.square() if squared else gradients).sum(1)
    return reduce_channels(total / samples, channels)


@explainer(
    "vargrad",
    paper="Adebayo et al. 2018, arXiv:1810.03307, definition of VarGrad",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, backward=1),)),
    needs=("gradients",),
    stochastic=True,
    differs=(
        Difference("Captum", "divides by n instead of n - 1 (compat=captum)", "values smaller by 1 / n, 2 % with 50 samples"),
        Difference(
            "Xplique",
            "adds noise of standard deviation 0.2, whatever the range of the image",
            "variances 1.8 times as large in images of range 1, if the gradient is linear in the noise",
        ),
    ),
)
def vargrad(trace: Trace, *, samples: TwoOrMore = 50, noise: PositiveFloat = 0.15, compat: Literal["paper", "captum"] = "paper") -> Tensor:
    r"""VarGrad: variance of the gradient over noisy copies of the image, mean over colour channels.

    .. math:: \frac{1}{3} \sum_c \frac{1}{n - 1} \sum_i \Big(\nabla_c y(x + e_i) - \frac{1}{n} \sum_j \nabla_c y(x + e_j)\Big)^2

    The copies are those of `smoothgrad`. The variance is that of signed gradients, accumulated in float64. It is zero where the
    logit is linear in the pixels.

    Returns:
        (B, H, W), non-negative.
    """
    moments = RunningMoments()
    for gradients in _noisy_gradients(trace, samples, noise):
        for copy in gradients.unbind(1):
            moments.add(copy)
    return moments.variance(correction=0 if compat == "captum" else 1).mean(1).to(trace.images)


@explainer(
    "gradientshap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874; Erion et al. 2021, arXiv:1906.10670, definition of expected gradients",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, backward=1),)),
    needs=("gradients",),
    stochastic=True,
    aliases=("expectedgradients",),
    normalisation="max",
    differs=(
        Difference("papers", "draw baselines from training images", "here they are uniform noise or a fixed colour"),
        Difference(
            "Captum", "draws baselines and coefficients from NumPy's global generator", "torch.manual_seed does not repeat its maps"
        ),
    ),
    completeness=Completeness("baseline", when={"channels": "sum", "noise": 0.0}),
    values="(-inf, inf)",
)
def gradientshap(
    trace: Trace,
    *,
    samples: PositiveInt = 50,
    baseline: Literal["noise", "mean", "black"] = "noise",
    noise: NonNegativeFloat = 0.0,
    channels: Literal["max", "sum", "abs"] = "sum",
) -> Tensor:
    r"""GradientSHAP (expected gradients): gradients at random points between baselines and the image.

    .. math:: \mathrm{E}_{x_0, a}[(x - x_0) \odot \nabla y(x_0 + a (x - x_0))]

    a is uniform in [0, 1] (Erion et al.). The papers draw x0
    from training images, which an explainer does not have: `baseline="noise"` draws uniform pixels; `mean` and `black` are
    fixed, a Monte Carlo estimate of Integrated Gradients. `noise` adds Gaussian noise of that deviation to x, as in Captum.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    places = drawing(trace, "gradientshap places", torch.rand, (1, 1, 1))
    baselines = drawing(trace, "gradientshap baselines", torch.rand, trace.images.shape[1:])
    noises = drawing(trace, "gradientshap noise", torch.randn, trace.images.shape[1:])
    total = torch.zeros_like(trace.images)
    for part in chunks(trace, samples, gradients=True):
        count = part.stop - part.start
        ends = trace.images[:, None] + (noise * noises(count) if noise else 0)  # (B, 1 or n, 3, H, W)
        starts = baselines(count) if baseline == "noise" else fill_image(trace, baseline)[:, None]
        points = starts + places(count) * (ends - starts)
        total += ((ends - starts) * _gradients_at(trace, points)).sum(1)
    return reduce_channels(total / samples, channels)


def _gradients_at(trace: Trace, points: Tensor) -> Tensor:
    """Gradients (B, n, 3, H, W) of the explained scores at n points of each image."""
    rows = torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1])
    with torch.enable_grad():
        leaf = points.flatten(0, 1).detach().clone().requires_grad_()
        scores = trace.explained(trace.score(leaf), rows)
        return torch.autograd.grad(scores.sum(), leaf)[0].reshape(points.shape)


def _noisy_gradients(trace: Trace, samples: int, noise: float) -> Iterator[Tensor]:
    """Gradients (B, n, 3, H, W) at noisy copies of each image, `samples` in all."""
    width = noise_width(trace.images, noise)[:, None]
    more = drawing(trace, "smoothgrad", torch.randn, trace.images.shape[1:])
    for part in chunks(trace, samples, gradients=True):
        yield _gradients_at(trace, trace.images[:, None] + width * more(part.stop - part.start))


def reduce_channels(gradients: Tensor, channels: Channels) -> Tensor:
    """Colour channels (B, 3, H, W) reduced to one value per pixel (B, H, W)."""
    if channels == "sum":
        return gradients.sum(1)
    return gradients.abs().amax(1) if channels == "max" else gradients.abs().sum(1)
