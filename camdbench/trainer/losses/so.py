"""SO-Loss: cosine distance between the map of the label and the object mask."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.d4_symmetries import VIEWS, D4View, apply_views, invert_views
from camdbench.functional.map_pooling import pool
from camdbench.functional.normalise import upsample
from camdbench.functional.soft_overlap import cosine
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult

_SIGMA = 11 / 23  # standard deviation of the blur relative to the kernel, from the authors' code


@loss(
    "so",
    paper="Employing Explanations for Effective Image Classification (anonymous, under review), Algorithm 1",
    needs=("masks",),
    differs=(
        Difference("paper", "prints cos without 1 -", "minimising it moves maps off the object"),
        Difference("probable released notebook", "detaches the map", "the second term has no gradient"),
        Difference("probable released notebook", "rotates two of the eight views again instead of back", "their maps lie upside down"),
        Difference("probable released notebook", "takes the maximum over views (pooling=max), without ReLU", "a softmax is printed"),
    ),
)
def so(
    step: TrainingStep,
    *,
    beta: NonNegativeFloat = 0.5,
    views: Literal[1, 2, 4, 8] = 8,
    pooling: Literal["softmax", "max", "logsumexp", "mean"] = "softmax",
    temperature: PositiveFloat = 0.1,
    kernel: NonNegativeInt = 23,
    sigma: PositiveFloat | None = None,
    cam: str = "gradcam",
) -> LossResult:
    r"""SO-Loss: cross-entropy plus the cosine distance of the label's map to the mask (Algorithm 1).

    .. math:: \beta\, \mathrm{CE} + (1 - \beta)\,(1 - \cos(P, M^*))

    P pools the maps of the views, transformed back, on the layer's grid and is
    up-sampled to the mask; M* = GaussianBlur(M). `kernel=0` is SO-Loss, else SO-Loss-Blur. The paper prints cos without
    1 -, which would move maps off the object. An image with an empty mask has no second term (`skipped`); a map of zeros
    gives 1 and no gradient.

    Args:
        step: the batch.
        beta: weight of the cross-entropy, in [0, 1].
        views: 1: the image; 2: and its horizontal flip; 4: and both flipped vertically; 8: and these four rotated by 90 degrees.
        pooling: pooling of the maps over views.
        temperature: temperature of `softmax` and `logsumexp`, for maps scaled to a maximum of 1.
        kernel: side of the blur kernel in pixels, odd, or 0 for no blur; the paper has 23 for images of 224.
        sigma: standard deviation of the blur in pixels; default: 11/23 of the kernel.
        cam: the explainer.

    Returns:
        (B,) not negative; lower is better.

    Raises:
        UsageError: beta is above 1, the kernel is even or too large, or 8 views of images that are not square.
    """
    _check(beta, views, kernel, step.images)
    maps = _maps(step, VIEWS[:views], cam)
    pooled = upsample(pool(maps, pooling, temperature), (step.masks.shape[-2], step.masks.shape[-1]))
    target, empty = _blur(step.masks, kernel, sigma or _SIGMA * kernel), ~step.masks.flatten(1).any(1)
    distance = 1 - cosine(pooled, target.to(pooled.dtype))
    ce = label_loss(step.logits, step.labels)
    total = beta * ce + (1 - beta) * torch.where(empty, 0, distance)
    return LossResult(total, {"ce": ce, "so": distance.where(~empty, torch.nan), "skipped": empty.to(ce.dtype)}, step.logits)


def _check(beta: float, views: int, kernel: int, images: Tensor) -> None:
    height, width = images.shape[-2:]
    if beta > 1:
        raise UsageError(f"so(beta={beta}): must be at most 1; choose a value in [0, 1]")
    if kernel and (kernel % 2 == 0 or kernel // 2 >= min(height, width)):
        raise UsageError(f"so(kernel={kernel}): use 0, or an odd number below {2 * min(height, width)} for images of {height} x {width}")
    if views == 8 and height != width:
        raise UsageError(f"so(views=8): a quarter turn of {height} x {width} pixels has another shape; use views=4 or square images")


def _maps(step: TrainingStep, views: tuple[D4View, ...], cam: str) -> Tensor:
    """(V, B, h, w): maps of the views, transformed back; the first view is the image itself."""
    own = map_of(step.trace, cam)[None]
    if len(views) == 1:
        return own
    others = map_of(step.extra_pass(apply_views(step.images, views[1:])), cam)
    return torch.cat([own, invert_views(others, views[1:])])


def _blur(masks: Tensor, kernel: int, sigma: float) -> Tensor:
    return masks.float() if not kernel else gaussian_blur(masks.float(), [kernel, kernel], [sigma, sigma])
