"""Overlap of the map with the object's mask: as a ranking, as a binary mask, as a density."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from camdbench.core.metric_families import NO_MASK, ON_MASKS
from camdbench.core.option_types import ConstantMap, GroundTruth, MapSign
from camdbench.core.registries import metric
from camdbench.functional.overlap import density_difference, iou, top_fraction
from camdbench.metrics.common.ground_truth import is_zero, maps_of, object_region, result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

HARD_IMAGENET = "Moayeri et al. 2022, Hard ImageNet, released code (saliency_analysis.py)"
RELEVANCE_RANK_PROTOCOLS = (ON_MASKS.variant("clevr-xai"),)
_ON_MASK = {"higher_is_better": True, "unit": "%", "needs": ("masks",)}


@metric(
    "relevance_rank",
    paper="Arras et al. 2022, CLEVR-XAI, arXiv:2003.07258, definition of relevance rank accuracy",
    values="[0, 100]",
    aliases=("relevance_rank_accuracy",),
    undefined=NO_MASK,
    protocols=RELEVANCE_RANK_PROTOCOLS,
    **_ON_MASK,
)
def relevance_rank(
    inputs: MetricInputs, *, ties: Literal["expected", "first"] = "expected", maps: MapSign = "default", ground_truth: GroundTruth = "masks"
) -> MetricResult:
    r"""Relevance rank accuracy: fraction of the K highest pixels that lie on the object's mask of K pixels.

    .. math:: 100\,|\text{top-}|M|(s) \cap M| / |M|

    Pixels tied for the last places count by the fraction of them on the mask, so a constant map scores the area fraction of
    the mask; `ties="first"` takes them in raster order. `maps` as in `relevance_mass`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    own, values = object_region(inputs, ground_truth), maps_of(inputs, maps)
    return result_of(100 * top_fraction(values, own, ties), _empty(own) | is_zero(values))


IOU_PROTOCOLS = (
    ON_MASKS.variant("clean"),
    ON_MASKS.variant("hardimagenet", options={"epsilon": 1e-10, "constant_map": "scored"}, paper=HARD_IMAGENET),
)
MOAYERI = "Moayeri et al. 2022, Hard ImageNet, NeurIPS Datasets and Benchmarks, released saliency_analysis.py"


@metric("iou", paper=MOAYERI, values="[0, 100]", undefined=NO_MASK, protocols=IOU_PROTOCOLS, **_ON_MASK)
def mask_iou(
    inputs: MetricInputs,
    *,
    threshold: PositiveFloat = 0.5,
    epsilon: NonNegativeFloat = 0.0,
    ground_truth: GroundTruth = "masks",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""Mask IoU: intersection over union of the thresholded map and the object's mask.

    .. math:: 100\,|\{s \ge t\} \cap M| / |\{s \ge t\} \cup M|

    The released code adds 1e-10 (`epsilon`) to numerator and denominator and scores a map of zeros with nearly 0. Images
    without an object have no value there either.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    own = object_region(inputs, ground_truth)
    nowhere = _empty(own) if constant_map == "scored" else _empty(own) | is_zero(inputs.saliency)
    return result_of(100 * iou(inputs.saliency >= threshold, own, epsilon), nowhere)


SALIENCY_DENSITY_PROTOCOLS = (
    ON_MASKS.variant("clean"),
    ON_MASKS.variant("hardimagenet", options={"constant_map": "scored"}, paper=HARD_IMAGENET),
)
NO_CONTRAST = "the mask is empty or all of the image, or the map is zero everywhere"


@metric("saliency_density", paper=MOAYERI, values="[-100, 100]", undefined=NO_CONTRAST, protocols=SALIENCY_DENSITY_PROTOCOLS, **_ON_MASK)
def saliency_density(inputs: MetricInputs, *, ground_truth: GroundTruth = "masks", constant_map: ConstantMap = "undefined") -> MetricResult:
    r"""Saliency density: mean of the map on the object minus its mean outside the object.

    .. math:: 100\,(\mathrm{mean}_{i \in M} s_i - \mathrm{mean}_{i \notin M} s_i)

    0 for a map that does not separate object and background. With `constant_map="scored"` a map of zeros scores 0.

    Returns:
        (B,) float64 in [-100, 100]; higher is better.
    """
    own = object_region(inputs, ground_truth)
    nowhere = _empty(own) | _empty(~own)
    if constant_map == "undefined":
        nowhere = nowhere | is_zero(inputs.saliency)
    return result_of(100 * density_difference(inputs.saliency, own), nowhere)


def _empty(region: Tensor) -> Tensor:
    return ~region.flatten(1).any(1)
