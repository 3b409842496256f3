"""Wrappers: transformations of another explainer's maps, nestable: `power(augsmooth(gradcam), alpha=2.0)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.option_types import TwoOrMore
from camdbench.core.registries import explainer
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.layer_choice import check_several
from camdbench.explainers.common.noisy_copies import drawing, noise_width
from camdbench.explainers.common.saliency import Wrapped
from camdbench.explainers.common.trace import Trace
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import normalise, upsample
from camdbench.functional.running_moments import RunningMoments


@explainer("power", paper="Opti-CAM, Figure A4", cost=Cost(wrapped=1), normalisation="none")
def power(trace: Trace, wrapped: Wrapped, *, alpha: PositiveFloat = 1.0) -> Tensor:
    r"""Power transform of another explainer's saliency map: map ** alpha.

    .. math:: s^\alpha

    alpha below 1 widens the salient area, above 1 narrows it. The order of pixels stays.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    return wrapped(trace).maps.pow(alpha)


@explainer("inverted", paper="control", cost=Cost(wrapped=1), normalisation="none")
def inverted(trace: Trace, wrapped: Wrapped) -> Tensor:
    """Inverted saliency map of another explainer: 1 - map.

    .. math:: 1 - s

    A control for metrics of deletion and masking.

    Returns:
        (B, H, W) in [0, 1], a finished mask.
    """
    return 1 - wrapped(trace).maps


@explainer(
    "augsmooth",
    paper="pytorch-grad-cam (Gildenblat et al. 2021), base_cam.py (aug_smooth)",
    cost=Cost(wrapped=6, note="one more forward pass, for the class, around a control"),
    aliases=("aug_smooth",),
)
def augsmooth(trace: Trace, wrapped: Wrapped) -> Tensor:
    r"""Test-time augmentation: mean of another explainer's maps over mirror images and three brightnesses.

    .. math:: \frac{1}{6} \sum_{t} t^{-1}(E(t(x)))

    t are the image and its mirror image, each times 0.9, 1 and 1.1, clipped at 1. Mirrored maps are mirrored back. The explained
    class is that of the original image, also for `--target predicted`.

    Returns:
        (B, H, W) in [0, 1].
    """
    batch, mirrored = trace.batch, trace.batch.mirrored()

    def of(batch: Batch, factor: float) -> Tensor:
        images = (batch.images * factor).clamp(0, 1)
        as_is = batch is trace.batch and torch.equal(images, trace.images)
        return wrapped(trace if as_is else trace.of(replace(batch, images=images))).maps

    unchanged = of(batch, 1.0)  # first: the passes of the image choose the class
    upright = [of(batch, 0.9), unchanged, of(batch, 1.1)]
    return torch.stack([*upright, *(of(mirrored, factor).flip(-1) for factor in (0.9, 1.0, 1.1))]).mean(0)


@explainer(
    "smooth",
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 2.2; variance: Adebayo et al. 2018, arXiv:1810.03307, definition of VarGrad",
    cost=Cost(forward=1, wrapped="samples"),
    normalisation="wrapped",
    stochastic=True,
    values="(-inf, inf)",
)
def smooth(
    trace: Trace,
    wrapped: Wrapped,
    *,
    samples: TwoOrMore = 50,
    level: PositiveFloat = 0.15,
    statistic: Literal["mean", "variance"] = "mean",
) -> Tensor:
    r"""Mean or variance of another explainer's raw maps over noisy copies of the image.

    .. math:: \frac{1}{n} \sum_i E(x + e_i)

    The copies are those of `smoothgrad`: `smooth(saliency(channels="sum"))` is `smoothgrad(channels="sum")`. `variance` divides by
    n - 1. Raw maps are signed and unscaled, and a constant one counts as any other. The explained class is that of the
    original image; random numbers of the wrapped explainer are the same for every copy.

    Returns:
        (B, h, w), as the wrapped explainer's raw maps; non-negative for the variance.
    """
    width = noise_width(trace.images, level)
    more = drawing(trace, "smoothgrad", torch.randn, trace.images.shape[1:])
    moments = RunningMoments()
    for _ in range(samples):
        images = trace.images + width * more(1)[:, 0]
        moments.add(wrapped(trace.of(replace(trace.batch, images=images)), may_be_constant=True).raw)
    return (moments.mean if statistic == "mean" else moments.variance(correction=1)).to(trace.images)


@explainer(
    "refine",
    paper="Domeniconi et al. 2026, arXiv:2605.14641, definition of RefineCAM",
    cost=Cost(wrapped="layers"),
    needs=("layer",),
    aliases=("refinecam",),
    refuses="explainers that read no layer or name their own",
    values="[0, 1]",
    differs=(
        Difference("pytorch-grad-cam 1.5.7", "multiplies maps at image size (compat=pgc); its clipping of layers has no effect", "none"),
        Difference(
            "torchcam 0.5",
            "rectifies and scales at the layer, then enlarges to the largest layer (compat=torchcam)",
            "other values between cells",
        ),
    ),
)
def refine(trace: Trace, wrapped: Wrapped, *, layers: tuple[str, ...] = (), compat: Literal["pgc", "torchcam"] = "pgc") -> Tensor:
    r"""RefineCAM: product of another explainer's maps at several layers.

    .. math:: \prod_l n(S_l)

    n scales each map to its range. The paper uses `refine(gradcampp, layers=("layer2", "layer3", "layer4"))` on a ResNet. With
    `compat="pgc"` the factors are the finished maps of the wrapped explainer, at image size, as in pytorch-grad-cam; with `torchcam`
    the raw maps are rectified and scaled at their layer, then enlarged to the largest grid. The product is zero wherever one of the
    layers is, so a layer with a constant map makes it constant; the reason names the layer.

    Returns:
        (B, H, W), or (B, h, w) on the largest grid for `compat="torchcam"`; in [0, 1].

    Raises:
        UsageError: fewer than two layers.
    """
    check_several("refine", layers)
    found = [wrapped(trace.at(name)) for name in layers]
    if compat == "pgc":
        factors = [to_float64(own.maps) for own in found]
    else:
        finest = max(own.raw.shape[1] for own in found), max(own.raw.shape[2] for own in found)
        factors = [upsample(normalise(to_float64(own.raw).relu(), "range"), finest) for own in found]
    return normalise(torch.stack(factors).prod(0), "range").to(trace.images)
