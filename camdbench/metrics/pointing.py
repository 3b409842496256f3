"""Pointing game: whether the maximum of the map lies on the object."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat

from camdbench.core.difference import Difference
from camdbench.core.metric_families import LOCALISED, ON_MASKS
from camdbench.core.option_types import ConstantMap, GroundTruth
from camdbench.core.registries import metric
from camdbench.functional.pointing import hits, near
from camdbench.metrics.common.ground_truth import is_zero, object_region, result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

POINTING_PROTOCOLS = (
    LOCALISED.variant("opticam"),
    LOCALISED.variant(
        "torchray",
        reduction="class mean",
        options={"ties": "first", "tolerance": 15.0, "constant_map": "scored"},
        paper="Fong et al. 2019, arXiv:1910.08485, released code",
    ),
    ON_MASKS.variant("quantus", options={"constant_map": "scored"}, paper="Hedström et al. 2023, Quantus 0.6"),
)
NO_OBJECT = "there is no object inside the image, or the map is zero everywhere"
DIFFERS = (
    Difference(
        "TorchRay", "counts its 15 pixels of tolerance in the image's own resolution", "here they are pixels of the network's input"
    ),
    Difference("Quantus 0.6", "counts an image without an object as a hit", "higher values; here the image has no value"),
)


@metric(
    "pointing",
    paper="Zhang et al. 2018, arXiv:1608.00507, section on the pointing game; Opti-CAM, arXiv:2301.07002, eq. A6",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    aliases=("pointing_game",),
    tolerance=1.6,
    needs=("boxes",),
    undefined=NO_OBJECT,
    protocols=POINTING_PROTOCOLS,
    differs=DIFFERS,
)
def pointing(
    inputs: MetricInputs,
    *,
    ties: Literal["any", "first", "centroid", "expected"] = "any",
    tolerance: NonNegativeFloat = 0.0,
    ground_truth: GroundTruth = "exclusive boxes",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""Pointing game: whether the maximum of the map lies on the object.

    .. math:: 100\,[\arg\max_i s_i \in B]

    If several pixels share the maximum, `ties` takes `any` of them (Opti-CAM's 99.8 % for Fake-CAM needs this rule), the `first`
    in raster order, their `centroid`, or the `expected` fraction that hits, which gives a constant map no advantage. A maximum
    less than `tolerance` pixels of the network's input away from the region is a hit too. With `constant_map="scored"` the
    pixels of a map of zeros are ties.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    own = object_region(inputs, ground_truth)
    nowhere = ~own.flatten(1).any(1)
    if constant_map == "undefined":
        nowhere = nowhere | is_zero(inputs.saliency)
    return result_of(100 * hits(inputs.saliency, near(own, tolerance), ties), nowhere)
