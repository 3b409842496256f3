"""Average Drop, Average Gain and Average Increase: class probability on the masked image.

Chattopadhyay et al. 2018 (arXiv:1710.11063); Zhang et al. 2024 (arXiv:2301.07002), eq. 13-15. With p the softmax
probability of the class on the image and o on the masked image, both from float64 logits: AD and AG are exact where float32
would give p = 1 and 0/0, and AD_i AG_i = 0 for every image. Protocols differ in the masking space, the scored class and
the fraction of pixels kept.
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
_MASKED = {"unit": "%", "values": "[0, 100]", "protocols": PROTOCOLS}


@metric(
    "ad",
    paper="Chattopadhyay et al. 2018, arXiv:1710.11063; Opti-CAM, eq. 13",
    higher_is_better=False,
    aliases=("average_drop",),
    **_MASKED,
)
def average_drop(
    inputs: MetricInputs, *, masking: Masking = "pixels", scored_class: ScoredClass = "target", keep: PositiveFraction = 1.0
) -> Tensor:
    r"""Average Drop: relative loss of class probability when the image is masked by its map.

    .. math:: 100 \max(0, p - o) / p

    Fake-CAM scores near 0, so read it together with Average Gain.

    Args:
        inputs: images (B, 3, H, W) in [0, 1], saliency (B, H, W) in [0, 1].
        masking: colour space in which pixels are masked: `pixels` (to black) or `normalised` (to the mean colour).
        scored_class: class whose probability is compared: `target` (explained) or `predicted`.
        keep: fraction of the map's highest pixels that stay; the rest is set to 0. Ties at the threshold stay.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    return 100 * drop(*_before_and_after(inputs, masking, scored_class, keep))


@metric("ag", paper="Opti-CAM, arXiv:2301.07002, eq. 15", higher_is_better=True, aliases=("average_gain",), **_MASKED)
def average_gain(
    inputs: MetricInputs, *, masking: Masking = "pixels", scored_class: ScoredClass = "target", keep: PositiveFraction = 1.0
) -> Tensor:
    r"""Average Gain: gain of class probability under masking, relative to the possible gain.

    .. math:: 100 \max(0, o - p) / (1 - p)

    Options as in `ad`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
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
    r"""Average Increase: whether masking raises the class probability.

    .. math:: 100\,[o > p]

    Strict, as in the paper: rounding noise counts as an increase unless o must exceed p + `tolerance`. Options as in `ad`.

    Returns:
        (B,) float64, 0 or 100, per cent; higher is better.
    """
    return 100 * increase(*_before_and_after(inputs, masking, scored_class, keep), tolerance)


def masked_images(inputs: MetricInputs, masking: str, keep: float = 1.0) -> Tensor:
    """Images multiplied by their maps, (B, 3, H, W) in [0, 1].

    Args:
        inputs: images and maps.
        masking: `pixels`: x s; `normalised`: mean + (x - mean) s, which masks (x - mean) / std.
        keep: fraction of the map's highest pixels that stay; the rest is set to 0. Ties at the threshold stay.
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
    """The log-odds of p and o, each (B,) float64, computed once for all metrics that compare them."""

    def compare() -> tuple[Tensor, Tensor]:
        masked = inputs.cached(("masked logits", masking, keep), lambda: inputs.score(masked_images(inputs, masking, keep)))
        classes = inputs.targets if scored_class == "target" else inputs.predictions
        return log_odds(inputs.logits, classes), log_odds(masked, classes)

    return inputs.cached(("log-odds before and after", masking, scored_class, keep), compare)
