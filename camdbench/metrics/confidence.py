"""Average Drop, Average Gain and Average Increase: how masking moves the probability of the class.

With p the probability of the class on the image x and o on x times its map, both softmax, both from float64 logits:
AD and AG are exact where float32 would give p = 1 and 0/0, and AD_i AG_i = 0 for every image.

The protocols differ in where pixels are masked (in [0, 1], towards black, or after mean/std, towards the mean colour), in
the class that is scored, and in the share of the map's pixels that is kept (Score-CAM's authors keep the upper half).
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.metric_families import MASKED, MEAN_MASKED
from camdbench.core.option_types import Masking, PositiveFraction, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.probability import drop, gain, increase, log_odds
from camdbench.metrics.common.inputs import MetricInputs

PROTOCOLS = (
    MASKED.variant("opticam"),
    MEAN_MASKED.variant("adcc", scored_class="predicted", paper="Poppi et al. 2021, arXiv:2104.10252, released code"),
    MEAN_MASKED.variant("scorecam50", options={"keep": 0.5}, paper="Wang et al. 2020, arXiv:1910.01279, as its released code masks"),
)


@metric(
    "ad",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063; Opti-CAM, eq. 13",
    higher_is_better=False,
    unit="%",
    values="[0, 100]",
    aliases=("average_drop",),
    protocols=PROTOCOLS,
)
def average_drop(
    inputs: MetricInputs,
    *,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    keep: PositiveFraction = 1.0,
) -> Tensor:
    r"""Average Drop: relative loss of class probability when the image is masked by its map.

    .. math:: 100 \max(0, p - o) / p

    (B,) in [0, 100]. Fake-CAM scores near 0, so read it beside AG.
    """
    return 100 * drop(*_before_and_after(inputs, masking, scored_class, keep))


@metric(
    "ag",
    paper="Opti-CAM, arXiv:2301.07002, eq. 15",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    aliases=("average_gain",),
    protocols=PROTOCOLS,
)
def average_gain(
    inputs: MetricInputs,
    *,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    keep: PositiveFraction = 1.0,
) -> Tensor:
    r"""Average Gain: gain of class probability under masking, relative to the possible gain.

    .. math:: 100 \max(0, o - p) / (1 - p)

    (B,) in [0, 100].
    """
    return 100 * gain(*_before_and_after(inputs, masking, scored_class, keep))


@metric(
    "ai",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063; Opti-CAM, eq. 14",
    higher_is_better=True,
    unit="%",
    values="{0, 100}",
    aliases=("average_increase", "increase_in_confidence"),
    tolerance=1.6,
    protocols=PROTOCOLS,
)
def average_increase(
    inputs: MetricInputs,
    *,
    tolerance: NonNegativeFloat = 0.0,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    keep: PositiveFraction = 1.0,
) -> Tensor:
    r"""Average Increase: whether masking raises the class probability; 100 if o > p + tolerance, else 0.

    .. math:: 100\,[o > p]

    (B,). Strict, as in the paper: with `tolerance=0` rounding noise counts as an increase.
    """
    return 100 * increase(*_before_and_after(inputs, masking, scored_class, keep), tolerance)


def masked_images(inputs: MetricInputs, masking: str, keep: float = 1.0) -> Tensor:
    """(B, 3, H, W) in [0, 1] or, where the mean colour shines through, between it and the image.

    Args:
        inputs: images and maps.
        masking: `pixels`: x s; `normalised`: what (x - mean) / std times s is in pixel space, mean + (x - mean) s.
        keep: share of the map's pixels that stay, the largest ones with all that equal the smallest of them; the rest are zero.
    """
    maps = inputs.saliency
    if keep < 1:
        flat = maps.flatten(1)
        least = flat.sort(1, descending=True).values[:, max(1, round(keep * flat.shape[1])) - 1]
        maps = torch.where(maps >= least[:, None, None], maps, 0)
    maps = maps.unsqueeze(1)
    if masking == "pixels":
        return inputs.images * maps
    mean = inputs.classifier.mean
    return mean + (inputs.images - mean) * maps


def _before_and_after(inputs: MetricInputs, masking: str, scored_class: str, keep: float) -> tuple[Tensor, Tensor]:
    """The log-odds of p and o, each (B,) float64."""
    masked = inputs.cached(("masked logits", masking, keep), lambda: inputs.score(masked_images(inputs, masking, keep)))
    classes = inputs.targets if scored_class == "target" else inputs.predictions
    return log_odds(inputs.logits, classes), log_odds(masked, classes)
