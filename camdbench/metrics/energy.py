"""Energy of the map on the object: F1, energy pointing game, Content Heatmap, relevance mass.

The last three share the formula energy inside / total energy and differ in the map: energy pointing takes the map
normalised to [0, 1], whose minimum is subtracted; the Content Heatmap takes the rectified raw map, which keeps it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import LOCALISED, NO_BOX, NO_MASK, ON_MASKS
from camdbench.core.option_types import BoxTruth, GroundTruth, HeatmapTruth, MapSign
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.functional.overlap import RegionEnergy, f1, region_energy
from camdbench.metrics.common.ground_truth import boxes_of, maps_of, object_region, result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

F1_PROTOCOLS = (LOCALISED.variant("opticam"),)
_ENERGY = {"higher_is_better": True, "unit": "%", "values": "[0, 100]"}


@metric(
    "f1",
    paper="Opti-CAM, arXiv:2301.07002, eq. A3-A4",
    aliases=("pixel_f1",),
    needs=("boxes",),
    undefined=NO_BOX,
    protocols=F1_PROTOCOLS,
    **_ENERGY,
)
def pixel_f1(inputs: MetricInputs, *, ground_truth: GroundTruth = "exclusive boxes") -> MetricResult:
    r"""Soft F1: harmonic mean of the map's precision and recall on the object.

    .. math:: 100 \cdot 2 P R / (P + R), \quad P = \sum_{i \in M} s_i / \sum_i s_i, \quad R = \sum_{i \in M} s_i / |M|

    0 if no energy lies on the object. The map is not thresholded: a map of ones scores 2a / (1 + a) for an object of area a.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    found = region_energy(inputs.saliency, object_region(inputs, ground_truth))
    return result_of(100 * f1(found), _undefined(found))


ENERGY_POINTING_PROTOCOLS = (
    LOCALISED.variant("opticam"),
    LOCALISED.variant("scorecam", options={"boxes": "single", "max_box_fraction": 0.5}),
)
NO_SUCH_BOX = "the map is zero everywhere, or the object has no box inside the image, too large a one, or more than the protocol takes"


@metric(
    "energy_pointing",
    paper="Wang et al. 2020, Score-CAM, arXiv:1910.01279, definition of the energy-based pointing game; Opti-CAM, eq. A3",
    aliases=("energy_pointing_game",),
    needs=("boxes",),
    undefined=NO_SUCH_BOX,
    protocols=ENERGY_POINTING_PROTOCOLS,
    **_ENERGY,
)
def energy_pointing(
    inputs: MetricInputs,
    *,
    boxes: Literal["union", "single"] = "union",
    max_box_fraction: PositiveFloat = 1.0,
    ground_truth: BoxTruth = "exclusive boxes",
) -> MetricResult:
    r"""Energy pointing game: fraction of the map's energy inside the object's boxes.

    .. math:: 100 \sum_{i \in B} s_i / \sum_i s_i

    A map of ones scores the area fraction of the boxes. Score-CAM evaluates images with one box that covers at most half:
    `boxes="single"` leaves out images with several boxes, `max_box_fraction` those whose boxes cover more.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    found = region_energy(inputs.saliency, object_region(inputs, ground_truth))
    nowhere = _undefined(found) | (found.area > max_box_fraction * inputs.saliency[0].numel())
    if boxes == "single":
        nowhere = nowhere | nowhere.new_tensor([len(own) > 1 for own in boxes_of(inputs)])
    return result_of(100 * found.inside / found.total, nowhere)


CH_PROTOCOLS = (
    LOCALISED.variant("clean", maps="relu, sum"),
    LOCALISED.variant(
        "release",
        maps="relu, sum",
        ground_truth="VOC slices",
        options={"epsilon": 1e-08},
        paper="UCDvision/CGC, evaluate_imagenet_gradcam_energy_inside_bbox.py",
    ),
)
NOT_POSITIVE = "the object has no box inside the image, or the raw map is positive nowhere"
CH_DIFFERS = (
    Difference(
        "UCDvision/CGC",
        "subtracts 1 from all edges of a box and slices [min : max + 1], where -1 is the last pixel",
        "files of ImageNet count from 0: boxes lie one pixel too far left and up, and those that start at 0 are empty, which is every box "
        "of 7,138 of the 50,000 validation images, whose value is 0",
    ),
    Difference(
        "UCDvision/CGC", "resizes maps to the image's own resolution", "maps are read at other places; not measured, as it needs ImageNet"
    ),
    Difference(
        "UCDvision/CGC",
        "adds epsilon to the map",
        "a map without a positive value scores the area of the boxes; without epsilon it has no value",
    ),
)


@metric(
    "ch",
    paper="Pillai et al. 2022, CGC, arXiv:2110.00527, section 4; Pillai & Pirsiavash 2021, Content Heatmap",
    aliases=("content_heatmap",),
    needs=("boxes",),
    undefined=NOT_POSITIVE,
    protocols=CH_PROTOCOLS,
    differs=CH_DIFFERS,
    **_ENERGY,
)
def content_heatmap(
    inputs: MetricInputs, *, epsilon: NonNegativeFloat = 0.0, ground_truth: HeatmapTruth = "exclusive boxes"
) -> MetricResult:
    r"""Content Heatmap: fraction of the rectified raw map's energy inside the object's boxes.

    .. math:: 100 \sum_{i \in B} \max(0, s_i) / \sum_i \max(0, s_i)

    The raw map is rectified, divided by its sum and resized to the image. `epsilon` > 0 first makes it map / (sum + epsilon) +
    epsilon, as in the released code. `ground_truth="VOC slices"` reads boxes as the release does, from the numbers of the
    annotation file: 1 is subtracted from all edges, and a box that starts at 0 is empty. An object without another box scores 0.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    raw = inputs.saliency if inputs.raw is None else inputs.raw
    positive = to_float64(raw.float().nan_to_num(0.0, 0.0, 0.0)).relu()
    if epsilon:
        positive = positive / (positive.sum((1, 2), keepdim=True) + epsilon) + epsilon
    found = region_energy(upsample(positive, inputs.size), object_region(inputs, ground_truth))
    nowhere = _undefined(found)
    if ground_truth == "VOC slices" and inputs.file_boxes is not None:  # a box inside the image that the slices lose scores 0
        nowhere = (found.total == 0) | ~object_region(inputs, "inclusive boxes").flatten(1).any(1)
    return result_of(100 * found.inside / found.total, nowhere)


MASS_DIFFERS = (Difference("Quantus", "takes signed maps as they are", "values leave [0, 100]"),)
MASS_PROTOCOLS = (ON_MASKS.variant("clevr-xai"),)


@metric(
    "relevance_mass",
    paper="Arras et al. 2022, CLEVR-XAI, arXiv:2003.07258, definition of relevance mass accuracy",
    aliases=("relevance_mass_accuracy",),
    needs=("masks",),
    undefined=NO_MASK,
    protocols=MASS_PROTOCOLS,
    differs=MASS_DIFFERS,
    **_ENERGY,
)
def relevance_mass(inputs: MetricInputs, *, maps: MapSign = "default", ground_truth: GroundTruth = "masks") -> MetricResult:
    r"""Relevance mass accuracy: fraction of the map's energy on the object's mask.

    .. math:: 100 \sum_{i \in M} s_i / \sum_i s_i

    The paper pools relevance over colours to a map without negative values; here that is the explainer's normalisation, or
    the rectified (`maps="relu"`) or absolute (`"abs"`) raw map, then resized.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    found = region_energy(maps_of(inputs, maps), object_region(inputs, ground_truth))
    return result_of(100 * found.inside / found.total, _undefined(found))


def _undefined(found: RegionEnergy) -> Tensor:
    return (found.total == 0) | (found.area == 0)
