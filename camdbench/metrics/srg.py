"""SRG: symmetric relevance gain, LeRF minus MoRF over one division of the image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED, MEAN_MASKED
from camdbench.core.option_types import Masking, PathReadout, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.crossings import at_places
from camdbench.functional.curves import area
from camdbench.functional.normalise import is_constant
from camdbench.metrics.common.curve_points import pixel_counts
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PerturbationPath, PixelOrder, path_scores
from camdbench.metrics.common.read_outs import read_out_of
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.metrics.common.segment_walk import Segments, segment_walk

SRG_PROTOCOLS = (
    MEAN_MASKED.variant("srg25"),
    MASKED.variant("pixels", options={"segments": 0}, paper="as `srg25`, over pixels, with the MoRF curve of `deletion`"),
)
DIFFERS = (
    Difference(
        "released code",
        "integrates the mean curve of the data set over the mean share of pixels removed",
        "one number for a data set; here each image has a value, and its curves lie over its own shares",
    ),
    Difference(
        "released code",
        "reads 15 numbers of segments, evenly spaced on a log scale, and both ends",
        "here every number: 25 segments take 49 passes",
    ),
    Difference(
        "released code",
        "averages over 5 imputations",
        "here one colour, the constant imputer",
    ),
)
_SHARES = torch.linspace(0, 1, 101, dtype=torch.float64)


@metric(
    "srg",
    paper="Bluecher et al. 2024, arXiv:2401.06654, definition of the symmetric relevance gain",
    higher_is_better=True,
    unit="%",
    values="[-100, 100]",
    aliases=("symmetric_relevance_gain",),
    undefined="the map is constant, or the image is one segment",
    differs=DIFFERS,
    protocols=SRG_PROTOCOLS,
)
def srg(
    inputs: MetricInputs,
    *,
    segments: NonNegativeInt = 25,
    compactness: PositiveFloat = 1.0,
    sigma: NonNegativeFloat = 0.0,
    step: PositiveInt = 224,
    fill: Literal["blank", "average", "blurred"] = "blank",
    masking: Masking = "normalised",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""SRG: area between the curves with the least and with the most relevant segments removed first.

    .. math:: 100 \int_0^1 (f(x^{\mathrm{LeRF}}_u) - f(x^{\mathrm{MoRF}}_u))\,du

    x_u lacks a fraction u of its pixels. Segments are scikit-image's SLIC, about `segments` of them, removed whole in order of their
    mean map value; u is the true share of their pixels, and each curve is integrated over its own shares by trapezoids. Both curves are
    stored at every hundredth, by linear interpolation. With `segments=0`, single pixels are removed, `step` at a time, equal ones in
    raster order first. A removed pixel is blank (the mean colour, or black with `masking="pixels"`), of the image's mean colour, or of
    the image blurred by RISE's kernel. `scored_output` is as in `insertion`. The reverse order has the negative
    value, and the mean over all orders is 0.

    Returns:
        (B,) float64 in [-100, 100], per cent; higher is better.
    """
    if not segments:
        return _of_pixels(inputs, step, fill, masking, scored_class, scored_output)
    how, place = Segments(segments, compactness, sigma), read_out_of(scored_class, scored_output)
    found, curves, numbers = dict[str, Tensor](), dict[str, Curve](), torch.empty(0)
    for name, most_first in (("morf", True), ("lerf", False)):
        walk = segment_walk(inputs, how, fill, masking, most_first=most_first)
        numbers, scores = walk.numbers, walk.scores[:, :, place]
        own = [(scores[row, : number + 1], walk.shares[row, : number + 1]) for row, number in enumerate(numbers.tolist())]
        found[name] = torch.stack([area(y[None], x)[0] for y, x in own])
        curves[name] = Curve(_SHARES, torch.stack([at_places(x, y, _SHARES) for y, x in own]))
    undefined = is_constant(inputs.saliency).cpu() | (numbers == 1)
    return MetricResult(torch.where(undefined, torch.nan, 100 * (found["lerf"] - found["morf"])), undefined, curves)


def _of_pixels(
    inputs: MetricInputs,
    step: int,
    fill: Literal["blank", "average", "blurred"],
    masking: Masking,
    scored_class: ScoredClass,
    scored_output: PathReadout,
) -> MetricResult:
    counts = pixel_counts(inputs.size, step, 0, "step")
    morf, lerf = (
        path_scores(inputs, PerturbationPath(PixelOrder(most_first=first), counts, "image", fill, masking, scored_class, scored_output))
        for first in (True, False)
    )
    x = torch.tensor(counts, dtype=torch.float64) / counts[-1]
    values = 100 * (area(lerf.scores, x) - area(morf.scores, x))
    return MetricResult(
        torch.where(morf.constant, torch.nan, values), morf.constant, {"morf": Curve(x, morf.scores), "lerf": Curve(x, lerf.scores)}
    )
