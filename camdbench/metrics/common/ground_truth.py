"""What the metrics of localisation share: the region of the object, the map that is compared with it, and where neither is.

Boxes have exclusive ends and belong to the image as the network sees it; what lies outside is cut off. An image
without a box, or with an empty mask, has no value. Neither has a map that is zero everywhere, unless a protocol says
otherwise: a map that points nowhere is counted among the undefined, never as a zero.
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
    """The pixels of the object, (B, H, W) bool on the maps' device: the union of its boxes, or its mask.

    With `inclusive boxes` the column x1 and the row y1 count too, as where code takes the end of a box for its last pixel.

    Raises:
        NotApplicable: the images have none of either.
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
    """B tensors (n, 4), what of the boxes lies inside the images; n is 0 where nothing does.

    Raises:
        NotApplicable: the images have no boxes.
    """
    size = inputs.images.shape[-2:]
    return [clip(own, (size[0], size[1])) for own in _boxes(inputs)]


def maps_of(inputs: MetricInputs, maps: str = "default", resize: str = "bilinear") -> Tensor:
    """The maps (B, H, W) at image size, normalised as a protocol says; what is not finite counts as zero.

    Args:
        inputs: the raw maps where they are known, and the finished ones otherwise.
        maps: `default`, the explainer's own normalisation to [0, 1]; or the raw map: `range`, resized, then from 0 to 1;
            `relu` or `abs`, rectified or without its sign, then resized.
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
    """Which maps (B, H, W) are zero everywhere, (B,) bool."""
    return ~maps.flatten(1).any(1)


def result_of(values: Tensor, undefined: Tensor, points: dict[str, Curve] | None = None) -> MetricResult:
    """Values (B,) with NaN where they are undefined, all on the CPU."""
    nowhere = undefined.cpu()
    return MetricResult(torch.where(nowhere, torch.nan, values.cpu().double()), nowhere, points or {})


def _boxes(inputs: MetricInputs) -> tuple[Tensor, ...]:
    if inputs.boxes is None:
        raise NotApplicable("the metric compares maps with boxes, which these images do not have")
    return inputs.boxes
