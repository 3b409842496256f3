"""ROAD: class score while the most or least relevant pixels are imputed from their neighbours."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import CONSTANT_MAP, MASKED, MEAN_MASKED
from camdbench.core.option_types import Imputer, Masking, PathReadout, ScoredClass
from camdbench.core.registries import metric
from camdbench.metrics.common.imputation_curves import Imputation, imputed_scores
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult

RONG = MASKED.variant("rong", scored_output="accuracy", paper="Rong et al. 2022, arXiv:2202.00449, released code")
GRADCAM = MEAN_MASKED.variant(
    "gradcam", options={"jitter": 0.0}, paper="pytorch-grad-cam 1.5, ROADMostRelevantFirst, ROADLeastRelevantFirst and ROADCombined"
)
PROBABILITY = MASKED.variant("probability", paper="as `rong`, read as a probability")
ZERO = MASKED.variant("zero", scored_output="accuracy", options={"fill": "blank"}, paper="as `rong`, the same pixels black")
BLUR = MASKED.variant(
    "blur", scored_output="accuracy", options={"fill": "blurred"}, paper="as `rong`, the same pixels of the blurred image"
)
MEAN = MASKED.variant("mean", scored_output="accuracy", options={"fill": "average"}, paper="as `rong`, the same pixels of the mean colour")
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
    protocols=(GRADCAM, RONG, PROBABILITY, ZERO, BLUR, MEAN),
    differs=DIFFERS,
)
def road(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    fill: Imputer = "neighbours",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "accuracy",
) -> MetricResult:
    r"""ROAD: half the difference of the class scores with least and with most relevant pixels imputed.

    .. math:: \frac{50}{|K|} \sum_{k \in K} (f(x^{\mathrm{LeRF}}_k) - f(x^{\mathrm{MoRF}}_k))

    Mean over percentages; both curves are stored. Options as in `road_morf`.

    Returns:
        (B,) float64 in [-50, 50], per cent; higher is better.
    """
    how = Imputation(percentages, noise, jitter, masking, scored_class, scored_output, fill)
    morf, lerf = (imputed_scores(inputs, how, most_first=first) for first in (True, False))
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
    "protocols": (RONG, GRADCAM, PROBABILITY, ZERO, BLUR, MEAN),
    "differs": DIFFERS,
}


@metric("road_morf", higher_is_better=False, **_ONE_ORDER)
def road_most_relevant_first(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    fill: Imputer = "neighbours",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "accuracy",
) -> MetricResult:
    r"""ROAD, MoRF: mean class score while the most relevant pixels are imputed.

    .. math:: \frac{100}{|K|} \sum_{k \in K} f(x^{\mathrm{MoRF}}_k)

    The curve's x is the fraction of imputed pixels, rounded down to whole pixels. An imputed pixel is the weighted mean of its
    neighbours, imputed ones included, plus normal noise of standard deviation `noise` in [0, 1], or in normalised space with
    `masking="normalised"`. Noise of standard deviation `jitter` on the map breaks ties. Both are one field per image, from its
    seed. `scored_output="accuracy"`, 1 if the class has the largest logit, is what Rong et al. plot; `logit` and `objective` (what was
    explained, `--objective`) have no bounds.

    With another `fill` the same pixels are blank (black, or the mean colour with `masking="normalised"`), those of the image blurred by
    RISE's kernel, or of the image's mean colour, without noise. One percentage alone gives its own row: `road_morf(percentages=(20,))`.
    Metrics share the pictures of a percentage, whatever else they ask for and read.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.

    Raises:
        UsageError: a percentage is not below 100.
    """
    return _curve(inputs, Imputation(percentages, noise, jitter, masking, scored_class, scored_output, fill), most_first=True)


@metric("road_lerf", higher_is_better=True, **_ONE_ORDER)
def road_least_relevant_first(
    inputs: MetricInputs,
    *,
    percentages: tuple[PositiveInt, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    noise: NonNegativeFloat = 0.01,
    jitter: NonNegativeFloat = 1e-4,
    fill: Imputer = "neighbours",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "accuracy",
) -> MetricResult:
    r"""ROAD, LeRF: mean class score while the least relevant pixels are imputed.

    .. math:: \frac{100}{|K|} \sum_{k \in K} f(x^{\mathrm{LeRF}}_k)

    The curve's x is the imputed fraction; the released code names the fraction kept. Options as in `road_morf`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    return _curve(inputs, Imputation(percentages, noise, jitter, masking, scored_class, scored_output, fill), most_first=False)


def _curve(inputs: MetricInputs, how: Imputation, *, most_first: bool) -> MetricResult:
    scores, constant = imputed_scores(inputs, how, most_first=most_first)
    return MetricResult(
        torch.where(constant, torch.nan, 100 * scores.mean(1)), constant, {"curve": Curve(_shares(how.percentages), scores)}
    )


def _shares(percentages: tuple[int, ...]) -> Tensor:
    return torch.tensor(percentages, dtype=torch.float64) / 100
