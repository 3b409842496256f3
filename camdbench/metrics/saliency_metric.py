"""Saliency metric (Dabkowski & Gal 2017): area of the salient crop and class probability on it."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.metric_families import EXPLAINED_AGAIN
from camdbench.core.option_types import Connectivity
from camdbench.core.registries import metric
from camdbench.functional.connected_components import regions
from camdbench.functional.probability import log_odds
from camdbench.metrics.box_localisation import mean_masks, predicted_boxes
from camdbench.metrics.common.ground_truth import result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult

LEAST_PROBABILITY = 1e-12
SM_PROTOCOLS = (
    EXPLAINED_AGAIN.variant("opticam", scored_output="probability", maps="default", ground_truth="largest region"),
    EXPLAINED_AGAIN.variant("dabkowski", scored_output="probability", maps="default", ground_truth="all regions"),
)
NO_REGION = "no pixel lies above the map's mean"


@metric(
    "sm",
    paper="Dabkowski & Gal 2017, arXiv:1705.07857, definition of the saliency metric; Opti-CAM, arXiv:2301.07002, eq. A7",
    higher_is_better=False,
    unit="",
    values="[-2.996, 27.64]",
    aliases=("saliency_metric",),
    tolerance=0.005,
    undefined=NO_REGION,
    protocols=SM_PROTOCOLS,
)
def saliency_metric(
    inputs: MetricInputs,
    *,
    floor: PositiveFloat = 0.05,
    seen: Literal["crop", "image"] = "crop",
    ground_truth: Literal["largest region", "all regions"] = "largest region",
    connectivity: Connectivity = 8,
    at_least: bool = False,
    scored_class: Literal["target", "label", "predicted"] = "target",
) -> MetricResult:
    r"""Saliency metric: log max(0.05, a) - log p, with a the crop's area and p its class probability.

    .. math:: \log \max(0.05, a) - \log p

    The crop is the box round the pixels above the map's mean: round their largest connected region (Opti-CAM), or round all
    of them (`all regions`, the original); a is its area fraction. The crop is stretched bilinearly to the input size, and p is
    the class probability on it, at least 1e-12. Opti-CAM's formula leaves this open, its table implies it: Fake-CAM, whose crop
    is the image, scores the network's cross-entropy. `seen="image"` takes p on the whole image.

    Returns:
        (B,) float64 in [-2.996, 27.6], nats; lower is better.
    """
    boxes = _boxes(inputs, ground_truth, connectivity, at_least=at_least)
    nowhere = (boxes == 0).all(1)
    height, width = inputs.size
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    logits = inputs.logits if seen == "image" else inputs.score(crops(inputs.images, boxes))
    classes = {"target": inputs.targets, "label": inputs.labels, "predicted": inputs.predictions}[scored_class]
    unknown = (classes < 0).cpu()
    surprise = -F.logsigmoid(log_odds(logits, classes.clamp(min=0))).clamp(min=math.log(LEAST_PROBABILITY))
    return result_of(area.clamp(min=floor).log() + surprise.cpu(), nowhere | unknown)


def crops(images: Tensor, boxes: Tensor) -> Tensor:
    """Crop of each image (B, 3, H, W) to its box (B, 4) in whole pixels, stretched to (H, W); an empty box keeps the image."""
    size = images.shape[-2:]
    found = list[Tensor]()
    for image, (x0, y0, x1, y1) in zip(images, boxes.int().tolist(), strict=True):
        cut = image[:, y0:y1, x0:x1] if x1 > x0 and y1 > y0 else image
        found.append(F.interpolate(cut[None], size=(size[0], size[1]), mode="bilinear", align_corners=False))
    return torch.cat(found)


def _boxes(inputs: MetricInputs, ground_truth: str, connectivity: Connectivity, *, at_least: bool) -> Tensor:
    """Boxes (B, 4) xyxy on the CPU, zeros if nothing lies above the mean."""
    if ground_truth == "largest region":
        return predicted_boxes(inputs, connectivity, at_least=at_least)
    found = regions(mean_masks(inputs.saliency, at_least=at_least))
    corners = found.boxes * torch.tensor([-1, -1, 1, 1])  # so that all four are maxima
    index = found.owner[:, None].expand(-1, 4)
    spread = torch.zeros(len(inputs), 4, dtype=torch.float64).scatter_reduce(0, index, corners, "amax", include_self=False)
    return spread.abs()
