"""ROAD: class score while the most or least relevant pixels are imputed from their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.metric_families import CONSTANT_MAP, MASKED, MEAN_MASKED
from camdbench.core.option_types import Masking, Readout, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.curves import Output, class_output, pairs
from camdbench.functional.imputation import impute
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PathScores, PixelOrder, pixel_order, scored_classes
from camdbench.metrics.common.result import Curve, MetricResult

RONG = MASKED.variant("rong", scored_output="accuracy", paper="Rong et al. 2022, arXiv:2202.00449, released code")
GRADCAM = MEAN_MASKED.variant(
    "gradcam", options={"jitter": 0.0}, paper="pytorch-grad-cam 1.5, ROADMostRelevantFirst, ROADLeastRelevantFirst and ROADCombined"
)
DIFFERS = (
    Difference(
        "pytorch-grad-cam", "takes a percentile of the map as threshold", "a map of many zeros loses its whole image; here ties are broken"
    ),
    Difference("Quantus 0.6", "scores the first batch alone and fails on RGB images", "0.4 for batches of 5, 1.0 for batches of 2"),
)


@metric(
    "road",
    paper="Rong et al. 2022, arXiv:2202.00449, definition of ROAD; both orders as in pytorch-grad-cam's ROADCombined",
    higher_is_better=True,
    unit="%",
    values="[-50, 50]",
    aliases=("remove_and_debias",),
    tolerance=0.5,
    undefined=CONSTANT_MAP,
    protocols=(GRADCAM, RONG),
    differs=DIFFERS,
)
def road(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "accuracy",
) -> MetricResult:
    r"""ROAD: half the difference of the class scores with least and with most relevant pixels imputed.

    .. math:: \frac{50}{|K|} \sum_{k \in K} (f(x^{\mathrm{LeRF}}_k) - f(x^{\mathrm{MoRF}}_k))

    Mean over percentages; both curves are stored. Options as in `road_morf`.

    Returns:
        (B,) float64 in [-50, 50], per cent; higher is better.
    """
    how = _Imputing(_check_percentages(percentages), noise, jitter, masking, scored_class, scored_output)
    morf, lerf = (_scores(inputs, how, most_first=first) for first in (True, False))
    values = 50 * (lerf.scores - morf.scores).mean(1)
    x = _shares(percentages)
    return MetricResult(
        torch.where(morf.constant, torch.nan, values), morf.constant, {"morf": Curve(x, morf.scores), "lerf": Curve(x, lerf.scores)}
    )


_ONE_ORDER = {
    "unit": "%",
    "values": "[0, 100]",
    "paper": "Rong et al. 2022, arXiv:2202.00449, definition of ROAD",
    "tolerance": 0.5,
    "undefined": CONSTANT_MAP,
    "protocols": (RONG, GRADCAM),
    "differs": DIFFERS,
}


@metric("road_morf", higher_is_better=False, **_ONE_ORDER)
def road_most_relevant_first(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "accuracy",
) -> MetricResult:
    r"""ROAD, MoRF: mean class score while the most relevant pixels are imputed.

    .. math:: \frac{100}{|K|} \sum_{k \in K} f(x^{\mathrm{MoRF}}_k)

    The curve's x is the fraction of imputed pixels, rounded down to whole pixels. An imputed pixel is the weighted mean of its
    neighbours, imputed ones included, plus normal noise of standard deviation `noise` in [0, 1], or in normalised space with
    `masking="normalised"`. Noise of standard deviation `jitter` on the map breaks ties. Both are one field per image, from its
    seed. `scored_output="accuracy"`, 1 if the class has the largest logit, is what Rong et al. plot.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.

    Raises:
        UsageError: a percentage is not below 100.
    """
    return _curve(inputs, _Imputing(_check_percentages(percentages), noise, jitter, masking, scored_class, scored_output), most_first=True)


@metric("road_lerf", higher_is_better=True, **_ONE_ORDER)
def road_least_relevant_first(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: Readout = "accuracy",
) -> MetricResult:
    r"""ROAD, LeRF: mean class score while the least relevant pixels are imputed.

    .. math:: \frac{100}{|K|} \sum_{k \in K} f(x^{\mathrm{LeRF}}_k)

    The curve's x is the imputed fraction; the released code names the fraction kept. Options as in `road_morf`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    return _curve(inputs, _Imputing(_check_percentages(percentages), noise, jitter, masking, scored_class, scored_output), most_first=False)


class _Imputing(NamedTuple):
    """Settings of imputation and read-out."""

    percentages: tuple[int, ...]
    noise: float
    jitter: float
    masking: Masking
    scored_class: ScoredClass
    scored_output: Output


def _check_percentages(percentages: tuple[int, ...]) -> tuple[int, ...]:
    if not percentages or max(percentages) >= 100:
        raise UsageError(f"percentages = {percentages!r}: no pixel is left to impute from; give numbers from 1 to 99")
    return percentages


def _shares(percentages: tuple[int, ...]) -> Tensor:
    return torch.tensor(percentages, dtype=torch.float64) / 100


def _curve(inputs: MetricInputs, how: _Imputing, *, most_first: bool) -> MetricResult:
    scores, constant = _scores(inputs, how, most_first=most_first)
    return MetricResult(
        torch.where(constant, torch.nan, 100 * scores.mean(1)), constant, {"curve": Curve(_shares(how.percentages), scores)}
    )


def _scores(inputs: MetricInputs, how: _Imputing, *, most_first: bool) -> PathScores:
    return inputs.cached(("imputed", how, most_first), lambda: _compute_scores(inputs, how, most_first=most_first))


def _compute_scores(inputs: MetricInputs, how: _Imputing, *, most_first: bool) -> PathScores:
    """Scores (B, K) of the images with each percentage of their pixels imputed."""
    ranks, constant = pixel_order(inputs, PixelOrder(most_first=most_first, jitter=how.jitter))
    images, classes, noise = inputs.images, scored_classes(inputs, how.scored_class), _noise(inputs, how)
    counts = torch.tensor([ranks.shape[1] * percent // 100 for percent in how.percentages], device=images.device)
    found = list[Tensor]()
    for image, point in pairs(len(images), len(counts), ranks.shape[1], images.device):
        known = (ranks[image] >= counts[point, None]).unflatten(1, images.shape[-2:])
        filled = impute(images[image], known) + noise[image] * ~known.unsqueeze(1)
        found.append(class_output(inputs.score(filled), classes[image], how.scored_output))
    return PathScores(torch.cat(found).unflatten(0, (len(images), len(counts))), constant)


def _noise(inputs: MetricInputs, how: _Imputing) -> Tensor:
    """Noise (B, 3, H, W) added to imputed pixels in pixel space."""

    def draw() -> Tensor:
        fields = [torch.randn(inputs.images.shape[1:], generator=generator) for generator in inputs.generators("imputation")]
        return torch.stack(fields).to(inputs.images)

    scale = inputs.classifier.std if how.masking == "normalised" else 1
    return how.noise * scale * inputs.shared("noise on imputed pixels", draw)
