"""Ground truth of localisation metrics: region of the object, compared map, and undefined values.

Boxes have exclusive ends in pixels of the network's input and are clipped to it. A protocol of released code reads the
numbers of the annotation file instead (`FileBoxes`), so that its values do not depend on the options of a data set; boxes
that come from no file are their own numbers. An image without a box or with an empty mask has no value. Neither has a map of
zeros, unless a protocol sets `constant_map="scored"`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import GroundTruth, HeatmapTruth
from camdbench.functional.boxes import clip, union_mask
from camdbench.functional.normalise import normalise, upsample
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult


def object_region(inputs: MetricInputs, ground_truth: GroundTruth | HeatmapTruth) -> Tensor:
    """Pixels of the object, (B, H, W) bool on the maps' device: the union of its boxes, or its mask.

    - `inclusive boxes` includes xmax and ymax of the file, as code does that reads a box's end as its last pixel.
    - `VOC slices` are those of CGC's `imagenet_as_mask`: 1 is subtracted from all edges of the file, and a box that starts at 0
      is empty. Boxes that come from no file are taken as correctly written in such files, and are the exclusive ones.

    Raises:
        NotApplicable: the images have no boxes, or no masks.
    """
    device = inputs.images.device
    if ground_truth == "masks":
        return inputs.required_masks.to(device)
    own, stated = _boxes(inputs), inputs.file_boxes
    inclusive = ground_truth == "inclusive boxes" and stated is None
    if stated is not None and ground_truth != "exclusive boxes":
        own = [one.with_ends() if ground_truth == "inclusive boxes" else one.voc_slices() for one in stated]
    return inputs.cached(("union of boxes", ground_truth), lambda: union_mask(own, inputs.size, inclusive=inclusive).to(device))


def boxes_of(inputs: MetricInputs) -> list[Tensor]:
    """Boxes clipped to the images, B tensors (n, 4); n is 0 if none lies inside.

    Raises:
        NotApplicable: the images have no boxes.
    """
    return [clip(own, inputs.size) for own in _boxes(inputs)]


def stated_boxes(inputs: MetricInputs) -> list[Tensor]:
    """Numbers of the boxes' files as coordinates from 0, cut off at the image's sides, B tensors (n, 4); n is 0 if none lies inside.

    Both ends may be equal: a box of one pixel, to code that takes its ends as pixels. Without a file, `boxes_of`.

    Raises:
        NotApplicable: the images have no boxes.
    """
    if inputs.file_boxes is None:
        return boxes_of(inputs)
    height, width = inputs.size
    last = torch.tensor([width, height, width, height], dtype=torch.float64)
    found = [own.stated() for own in inputs.file_boxes]
    return [own[(own[:, 2:] >= 0).all(1) & (own[:, :2] < last[2:]).all(1)].clamp(min=0).minimum(last) for own in found]


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
    size = inputs.size
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
        raise NotApplicable("needs ground-truth boxes, which these images do not have")
    return inputs.boxes
