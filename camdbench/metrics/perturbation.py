"""Perturbation curves over patches or pixels: AOPC, most relevant first (MoRF), least relevant first (LeRF)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED, MEAN_MASKED
from camdbench.core.option_types import Fill, Masking, PathReadout, ScoredClass, TieOrder
from camdbench.core.registries import metric
from camdbench.functional.pixel_order import count_patches
from camdbench.metrics.common.curve_points import patch_counts
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PerturbationPath, PixelOrder, area_under, path_scores
from camdbench.metrics.common.result import Curve, MetricResult

FLIPPING = (
    MASKED.variant("samek"),
    MEAN_MASKED.variant(
        "quantus",
        options={"patch": 1, "step": 224, "regions": 0, "fill": "lowest"},
        paper="Bach et al. 2015, PLoS ONE 10(7), as Quantus' PixelFlipping, but over pixels",
    ),
    MASKED.variant(
        "chefer",
        scored_output="accuracy",
        options={"patch": 1, "intervals": 10, "ends": False, "fill": "blank"},
        paper="Chefer et al. 2021, arXiv:2012.09838, section 4.2",
    ),
)
AOPC_PROTOCOLS = (
    MASKED.variant("samek"),
    MEAN_MASKED.variant(
        "quantus05",
        options={"patch": 14, "regions": 10, "patching": "sliding", "fill": "lowest", "average": "altered", "ties": "last"},
        paper="Quantus up to 0.5, RegionPerturbation, as Opti-CAM, Table 4",
    ),
    MEAN_MASKED.variant(
        "quantus06", options={"patch": 14, "regions": 10, "fill": "lowest", "average": "altered"}, paper="Quantus 0.6, RegionPerturbation"
    ),
)
CONSTANT_PATCHES = "the map is constant, so that it ranks no patch before another"


@metric(
    "aopc",
    paper="Samek et al. 2017, arXiv:1509.06321, definition of AOPC",
    higher_is_better=True,
    unit="%",
    values="[-100, 100]",
    aliases=("area_over_perturbation_curve",),
    undefined=CONSTANT_PATCHES,
    protocols=AOPC_PROTOCOLS,
    differs=(
        Difference(
            "Quantus 0.6",
            "returns the curve of drops, and fills with the smallest value of the normalised image over all channels (protocol=quantus06)",
            "one number of the curve's mean here; black is a colour of the image",
        ),
        Difference(
            "Quantus up to 0.5",
            "chooses among all overlapping patches (protocol=quantus05)",
            "another algorithm, that of Opti-CAM's Table 4",
        ),
    ),
)
def aopc(
    inputs: MetricInputs,
    *,
    patch: PositiveInt = 9,
    regions: PositiveInt = 100,
    patching: Literal["grid", "sliding"] = "grid",
    fill: Fill = "uniform",
    average: Literal["all", "altered"] = "all",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""AOPC: mean drop of the class probability while patches are replaced, most relevant first.

    .. math:: \frac{100}{L + 1} \sum_{k=0}^{L} (f(x_0) - f(x_k))

    The curve holds the drops f(x_0) - f(x_k) in [-1, 1] over the number k of patches. `average="all"` is the paper's mean over
    k = 0 … L; `"altered"` is the mean over k = 1 … L of Quantus' result.

    Patches of `patch` x `patch` pixels lie on a grid, or anywhere without overlap (`patching="sliding"`, Quantus up to 0.5). L is
    `regions`, at most the patches of the grid; if no sliding patch is left, the image stays unchanged. A replaced pixel is
    uniform noise in [0, 1] (`uniform`, one draw per image from its seed; the paper averages over draws), the smallest value of
    the normalised image over all channels (`lowest`, black in Quantus), or blank: black, or the mean colour with
    `masking="normalised"`. The paper leaves the scale of f open; here it is the probability, or what
    `scored_output` names, as in `morf`.

    Returns:
        (B,) float64 in [-100, 100], per cent; higher is better.
    """
    total = count_patches(inputs.size, patch)
    length = regions if patching == "sliding" else min(regions, total)
    order = PixelOrder(ties=ties, patch=patch, sliding=regions if patching == "sliding" else 0)
    scores, constant = path_scores(
        inputs, PerturbationPath(order, tuple(range(length + 1)), "image", fill, masking, scored_class, scored_output)
    )
    drops = scores[:, :1] - scores
    values = 100 * drops.sum(1) / (length + (average == "all"))
    return MetricResult(torch.where(constant, torch.nan, values), constant, {"drop": Curve(torch.arange(length + 1), drops)})


DIFFERS = (Difference("Quantus", "flips elements of channels", "here whole pixels are flipped"),)
_FLIPPED = {
    "unit": "%",
    "values": "[0, 100]",
    "differs": DIFFERS,
    "paper": "Samek et al. 2017, arXiv:1509.06321, definition of MoRF; LeRF: appendix",
    "undefined": "the map is constant, so that it ranks nothing before anything else",
    "protocols": FLIPPING,
}


@metric("morf", higher_is_better=False, aliases=("most_relevant_first",), **_FLIPPED)
def most_relevant_first(
    inputs: MetricInputs,
    *,
    patch: PositiveInt = 9,
    regions: NonNegativeInt = 100,
    step: PositiveInt = 1,
    intervals: NonNegativeInt = 0,
    ends: bool = True,
    fill: Fill = "uniform",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""MoRF: mean class score while patches or pixels are replaced, most relevant first.

    .. math:: 100 \int_0^1 f(x_u)\,du

    The curve's x is the fraction of patches. The area is taken by trapezoids over the covered part of [0, 1] and divided by
    its width. Patches of a grid, or pixels if `patch` is 1, are replaced `step` at a time, `regions` in all (0: all), or in
    `intervals` equal fractions. `ends=false` omits the original image and the last point: Chefer et al. read 10 to 90 % of
    the pixels. `scored_output="accuracy"` is 1 if the class has the largest logit; `logit` and `objective`, what was explained, are
    times 100. `fill` as in `aopc`.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    order = PixelOrder(ties=ties, patch=patch)
    counts, total = patch_counts(inputs.size, patch, regions, step, intervals, ends=ends)
    return area_under(inputs, PerturbationPath(order, counts, "image", fill, masking, scored_class, scored_output), total)


@metric("lerf", higher_is_better=True, aliases=("least_relevant_first",), **_FLIPPED)
def least_relevant_first(
    inputs: MetricInputs,
    *,
    patch: PositiveInt = 9,
    regions: NonNegativeInt = 100,
    step: PositiveInt = 1,
    intervals: NonNegativeInt = 0,
    ends: bool = True,
    fill: Fill = "uniform",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: PathReadout = "probability",
) -> MetricResult:
    r"""LeRF: mean class score while patches or pixels are replaced, least relevant first.

    .. math:: 100 \int_0^1 f(x_u)\,du

    Options and protocols as in `morf`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    order = PixelOrder(most_first=False, ties=ties, patch=patch)
    counts, total = patch_counts(inputs.size, patch, regions, step, intervals, ends=ends)
    return area_under(inputs, PerturbationPath(order, counts, "image", fill, masking, scored_class, scored_output), total)
