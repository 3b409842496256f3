"""CGC loss: the map of a crop must match the crop of the map and differ from maps of other images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.crops import draw_crop, warp
from camdbench.functional.normalise import upsample
from camdbench.functional.soft_overlap import unit
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult


@loss(
    "cgc",
    paper="Pillai et al. 2022, CGC, arXiv:2110.00527, section 3.1",
    differs=(
        Difference("paper", "sums L over the batch", "lambda counts once per image; here and in the authors' code L is the mean"),
        Difference(
            "authors' code",
            "compares a_i with the other a_j (compat=author) and adds two cross-entropies (ce_views=3)",
            "cross-entropy counts about three times as much beside L",
        ),
        Difference(
            "authors' code",
            "without negatives, divides by the pixels and has lambda 1000 (compat=author)",
            "0.02 of the sum at 224 x 224: 25 times less than lambda 0.5",
        ),
        Difference(
            "authors' code", "mirrors a quarter of the images and not their maps", "a quarter of the pairs do not match; not reproduced"
        ),
    ),
)
def cgc(
    step: TrainingStep,
    *,
    weight: NonNegativeFloat = 0.5,
    temperature: PositiveFloat = 0.5,
    compat: Literal["paper", "author"] = "paper",
    negatives: bool = True,
    smallest: PositiveFloat = 0.08,
    ce_views: Literal[1, 3] = 1,
    cam: str = "gradcam",
) -> LossResult:
    r"""CGC: cross-entropy plus an InfoNCE loss between cropped maps and maps of cropped images (section 3.1).

    .. math::
        \mathrm{CE} + \lambda L, \quad L_i = -\log \frac{\exp(\cos(h_i, a_i) / \tau)}{\sum_j \exp(\cos(h_i, a_j) / \tau)}

    h_i is the map of image i, up-sampled and warped by a random crop and flip T_i; a_j is the map of T_j applied to image
    j; both explain the predicted class of the original image, and gradients flow through both. L needs no label. A map of
    zeros has cosine 0 with every map and no gradient (`zero_map`). L is 0 in a batch of one. Negatives come from all
    processes; in the authors' code from one device.

    Args:
        step: the batch.
        weight: lambda, for the mean of L_i as in the authors' code; the paper has the sum.
        temperature: tau.
        compat: `paper`: as above; `author`: L as in the authors' code, which compares a_i with h_i and with the other a_j.
        negatives: False: squared distance of h_i and a_i, normalised to length 1 (Table 5); `compat="author"` divides it by the
            number of pixels, and its script has weight 1000: 0.02 of the sum at 224 x 224 pixels.
        smallest: smallest area fraction of a crop, at most 1.
        ce_views: 1: cross-entropy of the image; 3: sum over the image and two random crops, as in the authors' code.
        cam: the explainer; the authors' code has `hirescam`, which is equal on a linear head.

    Returns:
        (B,) not negative; lower is better. Label -1 has no cross-entropy.

    Raises:
        UsageError: `smallest` is above 1.
    """
    if smallest > 1:
        raise UsageError(f"cgc(smallest={smallest}): a crop covers at most the whole image; choose a value in (0, 1]")
    original = step.main_pass(step.images, "predicted")
    crop = _random_crop(step, smallest)
    cropped = step.extra_pass(crop(step.images), original.targets)
    before = crop(_at_size(map_of(original, cam), step.images))
    after = _at_size(map_of(cropped, cam), step.images)
    zero_map = (before.flatten(1).abs().amax(1) == 0) | (after.flatten(1).abs().amax(1) == 0)
    first = step.processes.rank * len(step.batch)
    after_of_all = step.processes.gather(unit(after))
    contrast = consistency(unit(before), after_of_all, temperature, compat=compat, negatives=negatives, first=first)
    ce = label_loss(original.logits, step.labels)
    if ce_views == 3:
        third = step.extra_pass(_random_crop(step, smallest)(step.images))
        ce = ce + label_loss(cropped.logits, step.labels) + label_loss(third.logits, step.labels)
    parts = {"ce": ce.where(step.labels >= 0, torch.nan), "cgc": contrast, "zero_map": zero_map.to(ce.dtype)}
    return LossResult(ce + weight * contrast, parts, original.logits)


def consistency(before: Tensor, after: Tensor, temperature: float, *, compat: str, negatives: bool, first: int = 0) -> Tensor:
    """InfoNCE loss (B,) of cropped maps `before` (B, P) with maps of cropped images `after` (N, P), all of length 1.

    The positives are rows `first` to `first + B` of `after`; all other rows are negatives. Without these, the squared distance.
    """
    own = after[first : first + len(before)]
    if not negatives:
        squares = (before - own).square()
        return squares.mean(1) if compat == "author" else squares.sum(1)
    positive = first + torch.arange(len(before), device=before.device)
    if compat == "paper":
        return F.cross_entropy(before @ after.T / temperature, positive, reduction="none")
    cosines = torch.where(F.one_hot(positive, len(after)).bool(), (before * own).sum(1)[:, None], own @ after.T)
    return F.cross_entropy(cosines / temperature, positive, reduction="none")


def _random_crop(step: TrainingStep, smallest: float) -> Callable[[Tensor], Tensor]:
    """One random crop and flip for each image, applicable to images and maps."""
    size = (step.images.shape[-2], step.images.shape[-1])
    crops = [draw_crop(size, step.random, scale=(smallest, 1.0)) for _ in range(len(step.batch))]
    return partial(warp, crops=crops)


def _at_size(maps: Tensor, images: Tensor) -> Tensor:
    return upsample(maps, (images.shape[-2], images.shape[-1]))
