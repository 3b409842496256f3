"""Relative foreground sensitivity (RIVAL10, Hard ImageNet): noise on the object against noise around it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.metric_families import CLASSIFIED
from camdbench.core.registries import metric
from camdbench.functional.class_rank import in_top_k
from camdbench.functional.noise import add_noise
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of, mask_undefined
from camdbench.metrics.common.result import Curve, MetricResult

CLEAN = CLASSIFIED.variant("clean", masking="pixels", reduction="relative foreground sensitivity")
RFS_PROTOCOLS = (
    CLEAN,
    CLEAN.variant(
        "official", options={"empty": "counted"}, paper="Hard-ImageNet's released code, which also counts images where noise has no place"
    ),
    CLEAN.variant(
        "l2", options={"noise": "l2", "sigma": 30.0}, paper="Hard-ImageNet's released code, first of its six norms for 224 x 224 pixels"
    ),
)
NO_PLACE_FOR_NOISE = "the label is unknown, or the object is nowhere or everywhere, so that noise has no place"


@metric(
    "rfs",
    paper="Moayeri et al. 2022, RIVAL10, arXiv:2201.10766, definition of RFS; Hard ImageNet, released rfs.py",
    higher_is_better=True,
    unit="",
    values="[-1, 1]",
    aliases=("relative_foreground_sensitivity",),
    tolerance=0.05,
    needs=("masks",),
    scope="model",
    undefined=NO_PLACE_FOR_NOISE,
    protocols=RFS_PROTOCOLS,
)
def rfs(
    inputs: MetricInputs,
    *,
    sigma: NonNegativeFloat = 0.25,
    trials: PositiveInt = 3,
    noise: Literal["gaussian", "l2"] = "gaussian",
    empty: Literal["undefined", "counted"] = "undefined",
) -> MetricResult:
    r"""Relative foreground sensitivity: difference of accuracies under background and foreground noise.

    .. math:: (b - f) / (2 \min(m, 1 - m)), \quad m = (f + b) / 2

    f and b are the accuracies under noise on and around the object over `trials`; it is 0 if m is 0 or 1. Tables apply the
    formula to the curves `foreground` and `background` (B, 1), averaged by label, then over labels. Both share each draw of
    Gaussian noise, which is clamped to [0, 1] with the image. `sigma` is its standard deviation or, with `noise="l2"`, its
    Euclidean norm. An empty or full mask leaves the image out; with `empty="counted"` it has noise on one side only.

    Returns:
        (B,) in [-1, 1]; higher is better.
    """
    masks, labels = inputs.required_masks, labels_of(inputs)
    drawn = ("noisy accuracies", sigma, noise, trials)
    foreground, background = inputs.cached(drawn, lambda: _accuracies(inputs, masks, labels.classes, (sigma, noise), trials))
    partly = masks.flatten(1).any(1) & ~masks.flatten(1).all(1) if empty == "undefined" else torch.ones_like(labels.known)
    values, undefined = mask_undefined(_relative(foreground, background), labels.known & partly)
    place = torch.zeros(1)
    points = {"foreground": Curve(place, foreground[:, None]), "background": Curve(place, background[:, None])}
    return MetricResult(values, undefined, points)


def _accuracies(
    inputs: MetricInputs, masks: Tensor, classes: Tensor, kind: tuple[float, Literal["gaussian", "l2"]], trials: int
) -> tuple[Tensor, Tensor]:
    """Fraction of trials classified correctly under noise on and around the object, both (B,)."""
    images = inputs.images
    generators = inputs.generators("rfs")
    right = tuple[list[Tensor], list[Tensor]](([], []))
    for _ in range(trials):
        draw = torch.stack([torch.randn(images.shape[1:], generator=own) for own in generators]).to(images)
        for held, places in zip(right, (masks, ~masks), strict=True):
            held.append(in_top_k(inputs.score(add_noise(images, places, draw, *kind)), classes))
    foreground, background = (torch.stack(held).mean(0) for held in right)
    return foreground, background


def _relative(foreground: Tensor, background: Tensor) -> Tensor:
    mean = (foreground + background) / 2
    room = 2 * mean.minimum(1 - mean)
    return torch.where(room == 0, 0, (background - foreground) / torch.where(room == 0, 1, room))
