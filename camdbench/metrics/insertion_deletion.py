"""Further readings of the curves of insertion and deletion: their difference, normalised areas, sufficient and necessary shares."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import CONSTANT_MAP, MASKED, MEAN_MASKED
from camdbench.core.option_types import Masking, PathReadout, PositiveFraction, ScoredClass, TieOrder
from camdbench.core.registries import metric
from camdbench.functional.crossings import first_crossing, normalised
from camdbench.functional.curves import Output, area
from camdbench.metrics.common.curve_points import pixel_counts
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import (
    PathScores,
    PerturbationPath,
    PixelOrder,
    Version,
    path_scores,
)
from camdbench.metrics.common.read_outs import read_out_of, read_outs
from camdbench.metrics.common.result import Curve, MetricResult

PETSIUK = "Petsiuk et al. 2018, arXiv:1806.07421, definitions of deletion and insertion"
OPTICAM = MASKED.variant("opticam", scored_class="predicted", paper="Zhang et al. 2024, arXiv:2301.07002, section 5.3.2")
RISE = MEAN_MASKED.variant(
    "rise",
    scored_class="predicted",
    options={"step": 1792, "ties": "last"},
    paper="Petsiuk et al. 2018, arXiv:1806.07421, as the released code evaluates whole data sets",
)
RELATIVE = "Petsiuk et al. 2018, arXiv:1806.07421, definitions of deletion and insertion, scores relative to those of both ends"
DIFFERS = (Difference("insertion and deletion", "keep the scores of both ends", "their values depend on the confidence of the network"),)
PROTOCOLS = (OPTICAM, RISE)
SHARES = (MASKED.variant("target"), MASKED.variant("predicted", scored_class="predicted"), MEAN_MASKED.variant("normalised"))
CARTER = "Carter et al. 2019, arXiv:1810.03805, definition of sufficient input subsets, here a prefix of the map's order"
NO_ROOM = "the map is constant, or the image scores no more than its replacement"


@metric(
    "lead",
    paper=PETSIUK,
    higher_is_better=True,
    unit="%",
    values="[-100, 100]",
    undefined=CONSTANT_MAP,
    protocols=PROTOCOLS,
    aliases=("insertion_minus_deletion",),
)
def lead(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    start: Literal["blurred", "blank"] = "blurred",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "predicted",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""Lead: insertion minus deletion.

    .. math:: 100 \int_0^1 (p(x^{\mathrm{ins}}_u) - p(x^{\mathrm{del}}_u))\,du

    Options and protocols as in `insertion` and `deletion`, whose passes it shares. A map that ranks pixels in reverse has about the
    negative, so controls lie around 0.

    Returns:
        (B,) float64 in [-100, 100], per cent; higher is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    inserted = _walk(inputs, counts, start, "image", ties, masking, scored_class, scored_output)
    deleted = _walk(inputs, counts, "image", "blank", ties, masking, scored_class, scored_output)
    x = _shares(counts)
    values = 100 * (area(inserted.scores, x) - area(deleted.scores, x))
    return MetricResult(
        torch.where(inserted.constant, torch.nan, values),
        inserted.constant,
        {"insertion": Curve(x, inserted.scores), "deletion": Curve(x, deleted.scores)},
    )


_NORMALISED = {
    "unit": "%",
    "values": "[0, 100]",
    "paper": RELATIVE,
    "undefined": NO_ROOM,
    "protocols": PROTOCOLS,
    "differs": DIFFERS,
}


@metric("normalised_insertion", higher_is_better=True, **_NORMALISED)
def normalised_insertion(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    start: Literal["blurred", "blank"] = "blurred",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "predicted",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""Normalised insertion: area under the class probability, relative to start and image.

    .. math:: 100 \int_0^1 \operatorname{clip}_{[0, 1]} \frac{p(x_u) - p(x_0)}{p(x_1) - p(x_0)}\,du

    The curve and its passes are those of `insertion` with the same options; x_0 is the blurred or blank image, x_1 the image. It has no
    value where the image scores no more than x_0.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    found = _walk(inputs, counts, start, "image", ties, masking, scored_class, scored_output)
    return _normalised_area(found, found.scores[:, 0], found.scores[:, -1], counts)


@metric("normalised_deletion", higher_is_better=False, **_NORMALISED)
def normalised_deletion(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "predicted",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""Normalised deletion: area under the class probability, relative to blank image and image.

    .. math:: 100 \int_0^1 \operatorname{clip}_{[0, 1]} \frac{p(x_u) - p(x_1)}{p(x_0) - p(x_1)}\,du

    The curve and its passes are those of `deletion` with the same options; x_0 is the image, x_1 the blank one. It has no value where the
    image scores no more than x_1.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    found = _walk(inputs, counts, "image", "blank", ties, masking, scored_class, scored_output)
    return _normalised_area(found, found.scores[:, -1], found.scores[:, 0], counts)


@metric(
    "sufficient_share",
    paper=CARTER,
    higher_is_better=False,
    unit="%",
    values="[0, 100]",
    undefined="the map is constant, or the image itself does not have the class",
    protocols=SHARES,
)
def sufficient_share(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    start: Literal["blurred", "blank"] = "blurred",
    ties: TieOrder = "first",
    criterion: Literal["class", "probability"] = "class",
    level: PositiveFraction = 0.9,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""Sufficient share: smallest share of most relevant pixels with which the image has its class.

    .. math:: 100 \min \{u : \arg\max_c z_c(x_u) = y\}

    x_u is a point of the curve of `insertion` with the same options, whose passes it shares, so the share is a multiple of `step` pixels.
    Scores do not grow monotonically: the first crossing counts, whatever follows. `criterion="probability"` asks for a probability of at
    least `level` times that of the image. It is 0 if the blurred or blank start has the class already.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    found = _walk(inputs, counts, start, "image", ties, masking, scored_class, _OUTPUT[criterion])
    holds = _holds(inputs, found, criterion, level, scored_class)
    undefined = found.constant | ~holds[:, -1]
    return _share(first_crossing(holds, _shares(counts)), found, undefined)


@metric(
    "necessary_share",
    paper=CARTER,
    higher_is_better=False,
    unit="%",
    values="(0, 100]",
    undefined="the map is constant, the image itself does not have the class, or it keeps the class without any pixel",
    protocols=SHARES,
)
def necessary_share(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    ties: TieOrder = "first",
    criterion: Literal["class", "probability"] = "class",
    level: PositiveFraction = 0.9,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""Necessary share: smallest share of most relevant pixels without which the image loses its class.

    .. math:: 100 \min \{u : \arg\max_c z_c(x_u) \ne y\}

    x_u is a point of the curve of `deletion` with the same options, whose passes it shares. `criterion` and the first crossing are as in
    `sufficient_share`: here the class is lost, or the probability is below `level` times that of the image.

    Returns:
        (B,) float64 in (0, 100], per cent; lower is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    found = _walk(inputs, counts, "image", "blank", ties, masking, scored_class, _OUTPUT[criterion])
    holds = _holds(inputs, found, criterion, level, scored_class)
    undefined = found.constant | ~holds[:, 0] | holds.all(1)
    return _share(first_crossing(~holds, _shares(counts)), found, undefined)


_OUTPUT: dict[str, Output] = {"class": "accuracy", "probability": "probability"}


def _walk(
    inputs: MetricInputs,
    counts: tuple[int, ...],
    before: Version,
    after: Version,
    ties: TieOrder,
    masking: Masking,
    scored_class: ScoredClass,
    scored_output: Output = "probability",
) -> PathScores:
    return path_scores(inputs, PerturbationPath(PixelOrder(ties=ties), counts, before, after, masking, scored_class, scored_output))


def _shares(counts: tuple[int, ...]) -> Tensor:
    return torch.tensor(counts, dtype=torch.float64) / counts[-1]


def _normalised_area(found: PathScores, low: Tensor, high: Tensor, counts: tuple[int, ...]) -> MetricResult:
    x, y = _shares(counts), normalised(found.scores, low, high)
    undefined = found.constant | (high <= low)
    return MetricResult(torch.where(undefined, torch.nan, 100 * area(y, x)), undefined, {"curve": Curve(x, y)})


def _holds(inputs: MetricInputs, found: PathScores, criterion: str, level: float, scored_class: ScoredClass) -> Tensor:
    """Whether each point (B, K) has the class, or enough of its probability."""
    if criterion == "class":
        return found.scores == 1
    rows = torch.arange(len(inputs), device=inputs.images.device)
    whole = read_outs(inputs, inputs.logits, rows)[:, read_out_of(scored_class, "probability")]
    return found.scores >= level * whole[:, None]


def _share(share: Tensor, found: PathScores, undefined: Tensor) -> MetricResult:
    broken = found.scores.isnan().any(1)
    return MetricResult(torch.where(undefined | broken, torch.nan, 100 * share), undefined & ~broken)
