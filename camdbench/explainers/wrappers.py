"""Wrappers: transformations of another explainer's maps, nestable: `power(augsmooth(gradcam), alpha=2.0)`."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Wrapped
from camdbench.explainers.common.trace import Trace


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
