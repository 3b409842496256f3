"""Gradients at the pixels: vanilla, integrated along a path, and averaged over noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.map_sum import Completeness
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import chunks, fill_image
from camdbench.explainers.common.trace import Trace

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
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 2.2",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, backward=1),)),
    needs=("gradients",),
    stochastic=True,
)
def smoothgrad(
    trace: Trace, *, samples: PositiveInt = 50, noise: PositiveFloat = 0.15, channels: Literal["max", "sum", "abs"] = "max"
) -> Tensor:
    r"""SmoothGrad: mean gradient over noisy copies of the image.

    .. math:: \frac{1}{n} \sum_i \nabla y(x + e_i)

    The noise e_i is Gaussian with standard deviation `noise` times the image's range of values. The
    paper recommends 10 to 20 % and 50 samples. The signed gradients are averaged before `channels` reduces the colours.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    low, high = (bound(trace.images, (1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    width = noise * (high - low)[:, None]
    more = _drawing(trace, "smoothgrad", torch.randn, trace.images.shape[1:])
    total = torch.zeros_like(trace.images)
    for part in chunks(trace, samples, gradients=True):
        points = trace.images[:, None] + width * more(part.stop - part.start)  # (B, n, 3, H, W)
        total += _gradients_at(trace, points).sum(1)
    return reduce_channels(total / samples, channels)


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
    places = _drawing(trace, "gradientshap places", torch.rand, (1, 1, 1))
    baselines = _drawing(trace, "gradientshap baselines", torch.rand, trace.images.shape[1:])
    noises = _drawing(trace, "gradientshap noise", torch.randn, trace.images.shape[1:])
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


def _drawing(trace: Trace, purpose: str, draw: Callable[..., Tensor], shape: Sequence[int]) -> Callable[[int], Tensor]:
    """A function that draws the next n samples of each image, (B, n, *shape), one call per sample.

    So the numbers depend neither on the batch nor on how many samples are drawn at a time.
    """
    generators = [trace.random(index, purpose) for index in range(len(trace.images))]

    def more(count: int) -> Tensor:
        rows = [torch.stack([draw(shape, generator=generator) for _ in range(count)]) for generator in generators]
        return torch.stack(rows).to(trace.images.device)

    return more


def reduce_channels(gradients: Tensor, channels: Channels) -> Tensor:
    """Colour channels (B, 3, H, W) reduced to one value per pixel (B, H, W)."""
    if channels == "sum":
        return gradients.sum(1)
    return gradients.abs().amax(1) if channels == "max" else gradients.abs().sum(1)
