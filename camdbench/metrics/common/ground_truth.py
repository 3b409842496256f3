"""Ground truth of localisation metrics: region of the object, compared map, and undefined values.

Boxes have exclusive ends in pixels of the network's input and are clipped to it. An image without a box or with an empty
mask has no value. Neither has a map of zeros, unless a protocol sets `constant_map="scored"`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import GroundTruth
from camdbench.functional.boxes import clip, union_mask
from camdbench.functional.normalise import normalise, upsample
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult


def object_region(inputs: MetricInputs, ground_truth: GroundTruth) -> Tensor:
    """Pixels of the object, (B, H, W) bool on the maps' device: the union of its boxes, or its mask.

    `inclusive boxes` includes the column x1 and the row y1, as code does that reads a box's end as its last pixel.

    Raises:
        NotApplicable: the images have no boxes, or no masks.
    """
    size, device = inputs.images.shape[-2:], inputs.images.device
    if ground_truth == "masks":
        if inputs.masks is None:
            raise NotApplicable("the metric compares maps with masks, which these images do not have")
        return inputs.masks.to(device)
    own = _boxes(inputs)
    inclusive = ground_truth == "inclusive boxes"
    return inputs.cached(("union of boxes", ground_truth), lambda: union_mask(own, (size[0], size[1]), inclusive=inclusive).to(device))


def boxes_of(inputs: MetricInputs) -> list[Tensor]:
    """Boxes clipped to the images, B tensors (n, 4); n is 0 if none lies inside.

    Raises:
        NotApplicable: the images have no boxes.
    """
    size = inputs.images.shape[-2:]
    return [clip(own, (size[0], size[1])) for own in _boxes(inputs)]


def maps_of(inputs: MetricInputs, maps: str = "default", resize: str = "bilinear") -> Tensor:
    """Maps (B, H, W) at image size, normalised as a protocol states; non-finite values count as 0.

    Args:
        inputs: raw maps if known, else normalised maps.
        maps: `default`: the explainer's normalisation to [0, 1]; `range`: raw map, resized, then scaled to [0, 1];
            `relu`, `abs`: rectified or absolute raw map, then resized.
        resize: `bilinear`, or `bicubic` for `range`, as OpenCV's INTER_CUBIC.
    """
    if maps == "default":
        return inputs.saliency
    raw = (inputs.saliency if inputs.raw is None else inputs.raw).float().nan_to_num(0.0, 0.0, 0.0)
    size = (inputs.images.shape[-2], inputs.images.shape[-1])
    if maps != "range":
        return upsample(raw.relu() if maps == "relu" else raw.abs(), size)
    if resize == "bicubic" and tuple(raw.shape[-2:]) != size:
        return normalise(F.interpolate(raw.unsqueeze(1), size=size, mode="bicubic", align_corners=False).squeeze(1), "range")
    return normalise(upsample(raw, size), "range")


def is_zero(maps: Tensor) -> Tensor:
    """Maps (B, H, W) that are zero everywhere, (B,) bool."""
    return ~maps.flatten(1).any(1)


def result_of(values: Tensor, undefined: Tensor, points: dict[str, Curve] | None = None) -> MetricResult:
    """Result with NaN where undefined, on the CPU."""
    nowhere = undefined.cpu()
    return MetricResult(torch.where(nowhere, torch.nan, values.cpu().double()), nowhere, points or {})


def _boxes(inputs: MetricInputs) -> tuple[Tensor, ...]:
    if inputs.boxes is None:
        raise NotApplicable("the metric compares maps with boxes, which these images do not have")
    return inputs.boxes
