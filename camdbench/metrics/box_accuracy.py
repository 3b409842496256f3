"""Box accuracy over thresholds: BoxAcc of Opti-CAM, MaxBoxAcc and MaxBoxAccV2.

A map is thresholded at K levels. An image counts at a level if a predicted box and a box of the object have an IoU of at
least delta. A table reports, for each delta, the maximum over levels of the mean over images, then the mean over deltas.
The maximum of each image would exceed what any one level reaches, so the curve of each image over levels is stored.
"""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.metric_families import LOCALISED, NO_BOX
from camdbench.core.option_types import BoxEnds, Connectivity, ConstantMap, MapRange, PositiveFraction, Resize
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.boxes import best_iou
from camdbench.functional.connected_components import holes, largest_component, outlines, regions
from camdbench.functional.float_precision import to_float64
from camdbench.metrics.common.ground_truth import boxes_of, is_zero, maps_of, result_of, stated_boxes
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult

RELEASE = "clovaai/wsolevaluation, released code"
_BEST_THRESHOLD = (
    LOCALISED.variant("choe", ground_truth="exclusive", reduction="maximum over thresholds"),
    Protocol(
        "clovaai",
        maps="range",
        resize="bicubic",
        ground_truth="clovaai",
        reduction="maximum over thresholds",
        options={"thresholds": 255, "constant_map": "scored"},
        paper=RELEASE,
    ),
)
BOXACC_PROTOCOLS = (LOCALISED.variant("opticam", ground_truth="exclusive", reduction="maximum over thresholds"),)
_ON_BOXES = {"higher_is_better": True, "unit": "%", "values": "[0, 100]", "tolerance": 1.6, "needs": ("boxes",), "undefined": NO_BOX}


@metric("boxacc", paper="Opti-CAM, arXiv:2301.07002, eq. A5", aliases=("box_accuracy",), protocols=BOXACC_PROTOCOLS, **_ON_BOXES)
def box_accuracy(
    inputs: MetricInputs,
    *,
    deltas: tuple[PositiveFraction, ...] = (0.3, 0.5, 0.7),
    thresholds: PositiveInt = 100,
    connectivity: Connectivity = 8,
    maps: MapRange = "default",
    resize: Resize = "bilinear",
    ground_truth: BoxEnds = "exclusive",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""BoxAcc: accuracy of the largest region's box at the best threshold, mean over IoUs 0.3, 0.5, 0.7.

    .. math:: \frac{100}{|D|} \sum_{\delta \in D} \max_\eta \mathrm{mean}_x\,[\mathrm{IoU}(B_\eta, B) \ge \delta]

    Curves: 100 if max IoU >= delta, else 0, at each threshold eta = k / K of map > eta. The paper states neither set: deltas
    are those of MaxBoxAccV2, thresholds those of its command line. Of equally large regions the first in raster order
    counts. With `constant_map="scored"` a map of zeros misses at every threshold.

    Returns:
        (B,) float64 in [0, 100], per cent, mean over thresholds and deltas; higher is better.
    """
    table = _overlaps(inputs, thresholds, connectivity, maps, resize, ground_truth, every=False)
    return _accuracy(inputs, table, deltas, maps, resize, ground_truth, constant_map)


@metric(
    "maxboxacc",
    paper="Choe et al. 2020, arXiv:2001.07437, definition of MaxBoxAcc",
    aliases=("max_box_accuracy",),
    protocols=_BEST_THRESHOLD,
    **_ON_BOXES,
)
def max_box_accuracy(
    inputs: MetricInputs,
    *,
    deltas: tuple[PositiveFraction, ...] = (0.5,),
    thresholds: PositiveInt = 100,
    connectivity: Connectivity = 8,
    maps: MapRange = "default",
    resize: Resize = "bilinear",
    ground_truth: BoxEnds = "exclusive",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""MaxBoxAcc: accuracy of the largest region's box at IoU 0.5 and the best common threshold.

    .. math:: 100 \max_\eta \mathrm{mean}_x\,[\mathrm{IoU}(B_\eta, B) \ge 1/2]

    Curves as in `boxacc`. Under `clovaai` maps have 8 bits and regions are contours of OpenCV: the largest by enclosed area,
    the last in raster order of equals. A box ends one pixel late (at most at the last pixel), true boxes are the numbers of the
    annotation file, the IoU counts both ends as pixels, and no contour is the pixel (0, 0). 255 thresholds are all that differ in
    8 bits (the release's interval is 0.001).

    Returns:
        (B,) float64 in [0, 100], per cent, mean over thresholds; higher is better.
    """
    table = _overlaps(inputs, thresholds, connectivity, maps, resize, ground_truth, every=False)
    return _accuracy(inputs, table, deltas, maps, resize, ground_truth, constant_map)


@metric(
    "maxboxaccv2",
    paper="Choe et al. 2020, arXiv:2007.04178, definition of MaxBoxAccV2",
    aliases=("max_box_accuracy_v2",),
    protocols=_BEST_THRESHOLD,
    **_ON_BOXES,
)
def max_box_accuracy_v2(
    inputs: MetricInputs,
    *,
    deltas: tuple[PositiveFraction, ...] = (0.3, 0.5, 0.7),
    thresholds: PositiveInt = 100,
    connectivity: Connectivity = 8,
    maps: MapRange = "default",
    resize: Resize = "bilinear",
    ground_truth: BoxEnds = "exclusive",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""MaxBoxAccV2: accuracy of the best region's box at the best threshold, mean over IoUs 0.3, 0.5, 0.7.

    .. math:: \frac{100}{|D|} \sum_{\delta \in D} \max_\eta \mathrm{mean}_x\,[\max_{B_\eta} \mathrm{IoU}(B_\eta, B) \ge \delta]

    Every region of the map has a box, and the best counts; `boxacc` takes the largest region alone. Curves as in `boxacc`;
    `clovaai` as in `maxboxacc`, with boxes for the outlines of holes too.

    Returns:
        (B,) float64 in [0, 100], per cent, mean over thresholds and deltas; higher is better.
    """
    table = _overlaps(inputs, thresholds, connectivity, maps, resize, ground_truth, every=True)
    return _accuracy(inputs, table, deltas, maps, resize, ground_truth, constant_map)


def _accuracy(
    inputs: MetricInputs,
    overlaps: Tensor,
    deltas: tuple[float, ...],
    maps: str,
    resize: str,
    ground_truth: BoxEnds,
    constant_map: ConstantMap,
) -> MetricResult:
    """Values and curves from the best IoU of each image at each threshold, (B, K)."""
    if not deltas:
        raise UsageError("deltas=(): no IoU; give one or more")
    places = torch.arange(overlaps.shape[1], dtype=torch.float64) / overlaps.shape[1]
    points = {f"iou {delta:g}": Curve(places, 100 * (overlaps >= delta).double()) for delta in deltas}
    nowhere = torch.tensor([not len(own) for own in _truth(inputs, ground_truth)])
    if constant_map == "undefined":
        nowhere = nowhere | is_zero(maps_of(inputs, maps, resize)).cpu()
    return result_of(torch.stack([curve.y.mean(1) for curve in points.values()]).mean(0), nowhere, points)


def _overlaps(
    inputs: MetricInputs, thresholds: int, connectivity: Connectivity, maps: str, resize: str, ground_truth: BoxEnds, *, every: bool
) -> Tensor:
    """The best IoU of each image at each threshold, (B, K) float64; one image at a time, which bounds the memory."""

    def find() -> Tensor:
        finished, truth = to_float64(maps_of(inputs, maps, resize)).cpu(), _truth(inputs, ground_truth)
        rows = [
            _iou_of_image(one, own.cpu(), thresholds, connectivity, ground_truth, every) for one, own in zip(finished, truth, strict=True)
        ]
        return torch.stack(rows)

    return inputs.cached(("box overlaps", thresholds, connectivity, maps, resize, ground_truth, every), find)


def _truth(inputs: MetricInputs, ground_truth: BoxEnds) -> list[Tensor]:
    return stated_boxes(inputs) if ground_truth == "clovaai" else boxes_of(inputs)


def _iou_of_image(values: Tensor, truth: Tensor, thresholds: int, connectivity: Connectivity, ground_truth: BoxEnds, every: bool) -> Tensor:
    """The best IoU of one map (H, W) at each threshold, (K,); thresholds between which no value lies share their regions."""
    levels = torch.arange(thresholds, dtype=torch.float64) / thresholds
    if ground_truth == "clovaai":
        values = (255 * values).floor()
        levels = torch.arange(thresholds, dtype=torch.float64).mul(values.max()).div(thresholds).floor()
    above = torch.bucketize(values, levels)  # the number of thresholds below a value
    differs = torch.bincount(above.flatten(), minlength=thresholds + 1)[:thresholds] > 0
    differs[0] = True
    masks = above > differs.nonzero()[:, :, None]
    found = (_best_of_all if every else _best_of_largest)(masks, truth, connectivity, ground_truth)
    return found[differs.cumsum(0) - 1]


def _best_of_largest(masks: Tensor, truth: Tensor, connectivity: Connectivity, ground_truth: BoxEnds) -> Tensor:
    if ground_truth == "clovaai":
        return best_iou(_shift_ends(largest_component(outlines(masks), len(masks), ties="last"), masks), truth.floor(), inclusive=True)
    return best_iou(largest_component(regions(masks, connectivity), len(masks)), truth)


def _best_of_all(masks: Tensor, truth: Tensor, connectivity: Connectivity, ground_truth: BoxEnds) -> Tensor:
    """The best IoU of any region of each mask (N, H, W), (N,)."""
    found = regions(masks, 8 if ground_truth == "clovaai" else connectivity)
    best = torch.zeros(len(masks), dtype=torch.float64)
    if ground_truth == "exclusive":
        return best.scatter_reduce(0, found.owner, best_iou(found.boxes, truth), "amax")
    empty = holes(masks)
    owner = torch.cat([found.owner, empty.owner])
    outline = torch.cat([found.boxes, empty.boxes + torch.tensor([-1, -1, 1, 1])])  # the pixels round a hole
    best[~masks.flatten(1).any(1)] = best_iou(torch.zeros(1, 4), truth.floor(), inclusive=True)
    return best.scatter_reduce(0, owner, best_iou(_shift_ends(outline, masks), truth.floor(), inclusive=True), "amax")


def _shift_ends(boxes: Tensor, masks: Tensor) -> Tensor:
    """Boxes (N, 4) whose exclusive ends are taken for pixels, at the last of the image at most."""
    height, width = masks.shape[-2:]
    return torch.minimum(boxes, torch.tensor([width - 1, height - 1, width - 1, height - 1], dtype=boxes.dtype))
