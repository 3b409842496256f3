"""Wrappers: transformations of another explainer's maps, nestable: `power(augsmooth(gradcam), alpha=2.0)`."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost
from camdbench.core.registries import explainer
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
    cost=Cost(forward=1, wrapped=6),
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
    maps = list[Tensor]()
    for mirrored in (False, True):
        for factor in (0.9, 1.0, 1.1):
            batch = trace.batch.mirrored() if mirrored else trace.batch
            found = wrapped(trace.of(replace(batch, images=(batch.images * factor).clamp(0, 1)))).maps
            maps.append(found.flip(-1) if mirrored else found)
    return torch.stack(maps).mean(0)
