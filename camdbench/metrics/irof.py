"""IROF: class score while whole segments of the image are replaced, most relevant first."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import PathReadout, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.curves import area
from camdbench.functional.normalise import is_constant
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.read_outs import read_out_of
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.metrics.common.segment_walk import Segments, segment_walk

_SHARES = torch.linspace(0, 1, 101, dtype=torch.float64)
IROF_PROTOCOLS = (MASKED.variant("rieger"),)
NO_CURVE = "the map is constant, the image is one segment, or the class has no score above 0 to lose"


@metric(
    "irof",
    paper="Rieger & Hansen 2020, arXiv:2003.08747, eq. 1",
    higher_is_better=True,
    unit="%",
    values="(-inf, 100]",
    aliases=("iterative_removal_of_features",),
    undefined=NO_CURVE,
    differs=(Difference("Quantus 0.6", "takes the mean of the whole batch as fill", "values depend on the other images; RGB images fail"),),
    protocols=IROF_PROTOCOLS,
)
def irof(
    inputs: MetricInputs,
    *,
    segments: PositiveInt = 100,
    compactness: PositiveFloat = 10.0,
    sigma: NonNegativeFloat = 0.0,
    fill: Literal["average", "blank"] = "average",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""IROF: area over the curve of the relative class probability while segments are replaced.

    .. math:: 100\,(1 - \int_0^1 f(x_u) / f(x_0)\,du)

    Segments are replaced in order of their mean map value, most relevant first. The curve of each image is stored at every
    hundredth of its segments, by linear interpolation.

    Segments are scikit-image's SLIC on the image's own colours with `compactness` and `sigma`, about `segments` of them; 100 is
    the default of scikit-image and Quantus. A replaced segment shows the image's mean colour (`fill="average"`) or black. SLIC
    may find a single segment in a noisy image; `sigma` smooths it first. `scored_output` is as in `insertion`; an image whose logit or
    objective is not above 0 has no value.

    Returns:
        (B,) float64 in (-inf, 100], per cent, negative if the probability grows; higher is better.
    """
    walk = segment_walk(inputs, Segments(segments, compactness, sigma), fill, "pixels", most_first=True)
    numbers, scores = walk.numbers, walk.scores[:, :, read_out_of(scored_class, scored_output)]
    curves = [own[: number + 1] / own[0] for own, number in zip(scores, numbers.tolist(), strict=True)]
    values = torch.stack([100 * (1 - area(own[None], torch.arange(len(own)))[0]) for own in curves])
    undefined = is_constant(inputs.saliency).cpu() | (numbers == 1) | (scores[:, 0] <= 0)
    left = Curve(_SHARES, torch.stack([_at_shares(own) for own in curves]))
    return MetricResult(torch.where(undefined, torch.nan, values), undefined, {"left": left})


def _at_shares(curve: Tensor) -> Tensor:
    """Values of a curve (L + 1,) at every hundredth of its length, (101,)."""
    places = _SHARES * (len(curve) - 1)
    before = places.long().clamp_max(len(curve) - 2)
    return curve[before].lerp(curve[before + 1], places - before)
