"""Localisation error of the box round the region above the map's mean: OM and LE of Opti-CAM.

The box of the largest connected region above the mean is compared with the object's box of highest IoU. Opti-CAM's
formulas are continuous, 100 (1 - IoU); ILSVRC counts images whose IoU is below one half. Both are here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.metric_families import LOCALISED
from camdbench.core.option_types import Connectivity, ConstantMap, KnownClass
from camdbench.core.registries import metric
from camdbench.functional.boxes import best_iou
from camdbench.functional.connected_components import largest_component, regions
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import is_constant
from camdbench.metrics.common.ground_truth import boxes_of, result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

PAPER_LE = "Opti-CAM, arXiv:2301.07002, appendix B, eq. A2"
PAPER_OM = "Opti-CAM, arXiv:2301.07002, appendix B, eq. A1"
ILSVRC = "Russakovsky et al. 2015, ILSVRC, arXiv:1409.0575, definition of the single-object localization error, with one guess"
NO_BOX = "the object has no box inside the image, or no pixel lies above the map's mean"
NO_BOX_OR_LABEL = "the object has no box inside the image, no pixel lies above the map's mean, or the label is unknown"
LE = (LOCALISED.variant("opticam", ground_truth="single boxes, exclusive ends"),)
OM = (LOCALISED.variant("opticam", scored_class="label", ground_truth="single boxes, exclusive ends"),)
_ERROR = {"higher_is_better": False, "unit": "%", "needs": ("boxes",), "undefined": NO_BOX, "protocols": LE}


@metric("le", paper=PAPER_LE, values="[0, 100]", aliases=("localisation_error",), tolerance=0.5, **_ERROR)
def localisation_error(
    inputs: MetricInputs, *, connectivity: Connectivity = 8, at_least: bool = False, constant_map: ConstantMap = "undefined"
) -> MetricResult:
    r"""Localisation error: 1 - IoU of the object with the box of the map's largest region above its mean.

    .. math:: 100\,(1 - \max_B \mathrm{IoU}(\hat B, B))

    `at_least` includes pixels equal to the mean; `connectivity` is that of regions, the first in raster order of equally
    large ones. With `constant_map="scored"` a map without a region scores 100.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    overlap, nowhere = _overlap(inputs, connectivity, at_least, constant_map)
    return result_of(100 * (1 - overlap), nowhere)


_OFFICIAL = {"higher_is_better": False, "unit": "%", "needs": ("boxes",), "undefined": NO_BOX_OR_LABEL, "protocols": OM}


@metric("om", paper=PAPER_OM, values="[0, 100]", aliases=("official_metric",), tolerance=0.5, **_OFFICIAL)
def official_metric(
    inputs: MetricInputs,
    *,
    connectivity: Connectivity = 8,
    at_least: bool = False,
    constant_map: ConstantMap = "undefined",
    scored_class: KnownClass = "label",
) -> MetricResult:
    r"""Official Metric: localisation error; 100 if the predicted class is wrong.

    .. math:: 100\,(1 - [\hat c = c] \max_B \mathrm{IoU}(\hat B, B))

    The class is the label, or the explained class with `scored_class="target"`. Other options as in `le`.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    overlap, nowhere = _overlap(inputs, connectivity, at_least, constant_map)
    right, unknown = _is_correct(inputs, scored_class)
    return result_of(100 * (1 - overlap * right), nowhere | unknown)


@metric("le50", paper=ILSVRC, values="{0, 100}", aliases=("localisation_error_50",), tolerance=1.6, **_ERROR)
def localisation_error_at_half(
    inputs: MetricInputs, *, connectivity: Connectivity = 8, at_least: bool = False, constant_map: ConstantMap = "undefined"
) -> MetricResult:
    r"""Localisation error at IoU 0.5: whether the map's box misses every box of the object.

    .. math:: 100\,[\max_B \mathrm{IoU}(\hat B, B) < 1/2]

    Options as in `le`.

    Returns:
        (B,) float64, 0 or 100, per cent; lower is better.
    """
    overlap, nowhere = _overlap(inputs, connectivity, at_least, constant_map)
    return result_of(100 * (overlap < 0.5).double(), nowhere)


@metric("om50", paper=ILSVRC, values="{0, 100}", aliases=("official_metric_50",), tolerance=1.6, **_OFFICIAL)
def official_metric_at_half(
    inputs: MetricInputs,
    *,
    connectivity: Connectivity = 8,
    at_least: bool = False,
    constant_map: ConstantMap = "undefined",
    scored_class: KnownClass = "label",
) -> MetricResult:
    r"""ILSVRC localisation error with one guess: 100 if the box misses at IoU 0.5 or the class is wrong.

    .. math:: 100\,(1 - [\hat c = c]\,[\max_B \mathrm{IoU}(\hat B, B) \ge 1/2])

    Options as in `om`.

    Returns:
        (B,) float64, 0 or 100, per cent; lower is better.
    """
    overlap, nowhere = _overlap(inputs, connectivity, at_least, constant_map)
    right, unknown = _is_correct(inputs, scored_class)
    return result_of(100 * (1 - (overlap >= 0.5).double() * right), nowhere | unknown)


def mean_masks(maps: Tensor, *, at_least: bool) -> Tensor:
    """Pixels above the mean of each map (B, H, W), or at least equal to it: (B, H, W) bool; none for a map of zeros."""
    values = to_float64(maps)
    mean = values.mean((1, 2), keepdim=True)
    level = is_constant(maps)[:, None, None]  # whose mean may differ from its values by rounding
    return torch.where(level, (values > 0) & at_least, values >= mean if at_least else values > mean)


def predicted_boxes(inputs: MetricInputs, connectivity: Connectivity, *, at_least: bool) -> Tensor:
    """Box of the largest region above the mean of each map, (B, 4) xyxy on the CPU; zeros if there is no region."""

    def find() -> Tensor:
        return largest_component(regions(mean_masks(inputs.saliency, at_least=at_least), connectivity), len(inputs))

    return inputs.cached(("box above the mean", connectivity, at_least), find)


def _overlap(inputs: MetricInputs, connectivity: Connectivity, at_least: bool, constant_map: ConstantMap) -> tuple[Tensor, Tensor]:
    """Largest IoU of each predicted box, (B,) in [0, 1], and where it is undefined, (B,) bool."""
    predicted, truth = predicted_boxes(inputs, connectivity, at_least=at_least), boxes_of(inputs)
    overlap = torch.cat([best_iou(box[None], own) for box, own in zip(predicted, truth, strict=True)])
    nowhere = torch.tensor([not len(own) for own in truth])
    return overlap, nowhere if constant_map == "scored" else nowhere | (predicted == 0).all(1)


def _is_correct(inputs: MetricInputs, scored_class: KnownClass) -> tuple[Tensor, Tensor]:
    """Whether the network predicts the class, (B,) 0 or 1, NaN where its logits are; and where the class is unknown."""
    classes = inputs.labels if scored_class == "label" else inputs.targets
    right = torch.where(inputs.logits.isnan().any(1), torch.nan, (inputs.predictions == classes).double())
    return right.cpu(), (classes < 0).cpu()
