"""Wrappers: explainers of explainers, written as calls and nestable: `power(augsmooth(gradcam), alpha=2.0)`."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.catalogue import explainer
from camdbench.core.cost import Cost
from camdbench.explainers.saliency import Inner
from camdbench.explainers.trace import Trace


@explainer("power", paper="Opti-CAM, Figure A4", cost=Cost(inner=1), normalisation="none")
def power(trace: Trace, inner: Inner, *, alpha: PositiveFloat = 1.0) -> Tensor:
    """The finished map of another explainer to the power of `alpha`: below 1 it shows more, above 1 less.

    (B, H, W), already a mask. The order of pixels stays.
    """
    return inner(trace).maps.pow(alpha)


@explainer("inverted", paper="control", cost=Cost(inner=1), normalisation="none")
def inverted(trace: Trace, inner: Inner) -> Tensor:
    """One minus the finished map of another explainer: what that one leaves out.

    (B, H, W), already a mask.
    """
    return 1 - inner(trace).maps


@explainer(
    "augsmooth",
    paper="Gildenblat, pytorch-grad-cam, aug_smooth=True",
    cost=Cost(forward=1, inner=6),
    aliases=("aug_smooth",),
)
def augsmooth(trace: Trace, inner: Inner) -> Tensor:
    """The mean of another explainer's finished maps over mirror images and three brightnesses.

    (B, H, W). The image and its mirror image, each times 0.9, 1 and 1.1, at most 1; mirrored maps are mirrored back.
    The class is the one of the image as it is, also where it is the predicted one.
    """
    maps = list[Tensor]()
    for mirrored in (False, True):
        for factor in (0.9, 1.0, 1.1):
            batch = trace.batch.mirrored() if mirrored else trace.batch
            found = inner(trace.of(replace(batch, images=(batch.images * factor).clamp(0, 1)))).maps
            maps.append(found.flip(-1) if mirrored else found)
    return torch.stack(maps).mean(0)
