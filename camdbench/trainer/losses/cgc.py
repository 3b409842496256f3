"""CGC loss: the map of a crop must match the crop of the map and differ from maps of other images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.crops import draw_crop, warp
from camdbench.functional.normalise import upsample
from camdbench.functional.soft_overlap import unit
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult


@loss("cgc", paper="Pillai et al. 2022, CGC, arXiv:2110.00527, section 3")
def cgc(
    step: TrainingStep,
    *,
    weight: NonNegativeFloat = 0.5,
    temperature: PositiveFloat = 0.5,
    anchor: Literal["paper", "release"] = "paper",
    negatives: bool = True,
    smallest: PositiveFloat = 0.08,
    ce_views: Literal[1, 3] = 1,
    cam: str = "gradcam",
) -> LossResult:
    """CGC: cross-entropy plus an InfoNCE loss between the cropped map of an image and the maps of cropped images (section 3).

    CE + lambda L, L_i = -log(exp(cos(h_i, a_i)/tau) / sum_j exp(cos(h_i, a_j)/tau)), (B,), where h_i is the map of image i, warped by
    a random crop and flip T_i, and a_j the map of T_j applied to image j, both for the top class of the image as it is.
    Maps are up-sampled to the image before the warp. Gradients flow through both. No label is read by L: an image with
    label -1 has no cross-entropy. A map of zeros has cosine 0 with every other, without a gradient (`dead`). In a batch of
    one there is no negative and L is 0. Negatives come from all processes, in the code from one device.

    Args:
        step: the batch.
        weight: lambda. The paper adds L_i up, its code takes the mean, which is what lambda is for here.
        temperature: tau.
        anchor: `paper`, as above; `release` compares a_i with h_i and with the other a_j.
        negatives: False is the paper's Table 5: the squared distance of h_i and a_i as vectors of length 1.
        smallest: share of the image that a crop covers at least.
        ce_views: cross-entropy on the image alone, or added up over it, the moved one and a third, as in the code.
        cam: the explainer; the code has `hirescam`, which is the same on a linear head.

    Raises:
        UsageError: no crop covers that much.
    """
    if smallest > 1:
        raise UsageError(f"cgc(smallest={smallest}): a crop covers at most the image, 1")
    seen = step.main_pass(step.images, "predicted")
    moved = _moved(step, smallest)
    shown = step.extra_pass(moved(step.images), seen.targets)
    before = moved(_at_size(map_of(seen, cam), step.images))
    after = _at_size(map_of(shown, cam), step.images)
    dead = (before.flatten(1).abs().amax(1) == 0) | (after.flatten(1).abs().amax(1) == 0)
    seen_by_all = step.ranks.gather(unit(after))
    first = step.ranks.rank * len(step.batch)
    contrast = consistency(unit(before), seen_by_all, temperature, anchor=anchor, negatives=negatives, first=first)
    ce = label_loss(seen.logits, step.labels)
    if ce_views == 3:
        third = step.extra_pass(_moved(step, smallest)(step.images))
        ce = ce + label_loss(shown.logits, step.labels) + label_loss(third.logits, step.labels)
    parts = {"ce": ce.where(step.labels >= 0, torch.nan), "cgc": contrast, "dead": dead.to(ce.dtype)}
    return LossResult(ce + weight * contrast, parts, seen.logits)


def consistency(before: Tensor, after: Tensor, temperature: float, *, anchor: str, negatives: bool, first: int = 0) -> Tensor:
    """The loss (B,) of moved maps `before` (B, P) and maps of moved images `after` (N, P), all of length 1.

    The partners of `before` are those of `after` from `first`; the others of `after`, other processes' too, are negatives.
    """
    own = after[first : first + len(before)]
    if not negatives:
        return (before - own).square().sum(1)
    right = first + torch.arange(len(before), device=before.device)
    if anchor == "paper":
        return F.cross_entropy(before @ after.T / temperature, right, reduction="none")
    likeness = torch.where(F.one_hot(right, len(after)).bool(), (before * own).sum(1)[:, None], own @ after.T)
    return F.cross_entropy(likeness / temperature, right, reduction="none")


def _moved(step: TrainingStep, smallest: float) -> Callable[[Tensor], Tensor]:
    """One random crop and flip for each image of the batch, to be applied to images and maps alike."""
    size = (step.images.shape[-2], step.images.shape[-1])
    crops = [draw_crop(size, step.random, scale=(smallest, 1.0)) for _ in range(len(step.batch))]
    return partial(warp, crops=crops)


def _at_size(maps: Tensor, images: Tensor) -> Tensor:
    return upsample(maps, (images.shape[-2], images.shape[-1]))
