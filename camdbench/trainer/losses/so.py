"""SO-Loss: cosine distance between the map of the label and the object mask."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.d4_symmetries import VIEWS, D4View, apply_views, invert_views
from camdbench.functional.map_pooling import pool
from camdbench.functional.normalise import upsample
from camdbench.functional.soft_overlap import cosine
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult

_SIGMA = 11 / 23  # of the blur, for each pixel of its kernel, as the paper's code has it


@loss("so", paper="Employing Explanations for Effective Image Classification (anonymous, under review), Algorithm 1", needs=("masks",))
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
    """SO-Loss: cross-entropy plus the cosine distance of the label's map, pooled over views, to the blurred mask (Algorithm 1).

    beta CE + (1 - beta) (1 - cos(P, M*)). The map of each view is turned back and P is their smooth maximum on the
    layer's grid; it is up-sampled to the mask, M* = GaussianBlur(M). `kernel=0` is SO-Loss, with a blur it is
    SO-Loss-Blur. beta = 1 is cross-entropy alone, and beta = 0 leaves it out. The paper prints the loss as cos, without
    1 -, which would drive maps off the object. An image whose mask is empty gives no term (`skipped`); a map of zeros
    gives 1 and no gradient.

    Args:
        step: the batch.
        beta: share of the cross-entropy, in [0, 1].
        views: the image alone; and mirrored; and upside down and both; and all four turned by 90 degrees.
        pooling: how the maps of the views become one.
        temperature: of `softmax` and `logsumexp`, for maps scaled to a maximum of 1.
        kernel: side of the blur's kernel in pixels, odd, or 0 for none; the paper has 23 for images of 224.
        sigma: its standard deviation; 11/23 of the kernel unless given.
        cam: the explainer.

    Raises:
        UsageError: beta above 1, an even kernel, or one that does not fit on the mask, or images that are not square.
    """
    _check(beta, views, kernel, step.images)
    maps = _maps(step, VIEWS[:views], cam)
    pooled = upsample(pool(maps, pooling, temperature), (step.masks.shape[-2], step.masks.shape[-1]))
    wanted, empty = _blurred(step.masks, kernel, sigma or _SIGMA * kernel), ~step.masks.flatten(1).any(1)
    apart = 1 - cosine(pooled, wanted.to(pooled.dtype))
    ce = label_loss(step.logits, step.labels)
    total = beta * ce + (1 - beta) * torch.where(empty, 0, apart)
    return LossResult(total, {"ce": ce, "so": apart.where(~empty, torch.nan), "skipped": empty.to(ce.dtype)}, step.logits)


def _check(beta: float, views: int, kernel: int, images: Tensor) -> None:
    height, width = images.shape[-2:]
    if beta > 1:
        raise UsageError(f"so(beta={beta}): it is a share, between 0 and 1")
    if kernel and (kernel % 2 == 0 or kernel // 2 >= min(height, width)):
        raise UsageError(f"so(kernel={kernel}): give 0, or an odd number below {2 * min(height, width)} for images of {height} x {width}")
    if views == 8 and height != width:
        raise UsageError(f"so(views=8): a quarter turn of {height} x {width} pixels has another shape; use views=4, or square images")


def _maps(step: TrainingStep, views: tuple[D4View, ...], cam: str) -> Tensor:
    """(V, B, h, w): the maps of the views, in the images' own place; the first view is the image itself."""
    own = map_of(step.trace, cam)[None]
    if len(views) == 1:
        return own
    others = map_of(step.extra_pass(apply_views(step.images, views[1:])), cam)
    return torch.cat([own, invert_views(others, views[1:])])


def _blurred(masks: Tensor, kernel: int, sigma: float) -> Tensor:
    return masks.float() if not kernel else gaussian_blur(masks.float(), [kernel, kernel], [sigma, sigma])
