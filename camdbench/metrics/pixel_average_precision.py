"""Pixel average precision (PxAP): the object's pixels against all others, over all thresholds and images."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.metric_families import NO_MASK, ON_MASKS
from camdbench.core.option_types import ConstantMap, GroundTruth, MapRange, Resize
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.metrics.common.ground_truth import is_zero, maps_of, object_region, result_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult

PXAP_PROTOCOLS = (
    ON_MASKS.variant("choe", reduction="pixel average precision"),
    ON_MASKS.variant(
        "clovaai",
        maps="range",
        resize="bicubic",
        reduction="pixel average precision",
        options={"constant_map": "scored"},
        paper="clovaai/wsolevaluation, released code",
    ),
)


@metric(
    "pxap",
    paper="Choe et al. 2020, arXiv:2001.07437, definition of PxAP",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    aliases=("pixel_average_precision",),
    needs=("masks",),
    undefined=NO_MASK,
    protocols=PXAP_PROTOCOLS,
)
def pixel_average_precision(
    inputs: MetricInputs,
    *,
    thresholds: PositiveInt = 100,
    maps: MapRange = "default",
    resize: Resize = "bilinear",
    ground_truth: GroundTruth = "masks",
    constant_map: ConstantMap = "undefined",
) -> MetricResult:
    r"""PxAP: average precision of the map as a detector of the object's pixels, pooled over images.

    .. math:: 100 \sum_k P_k (R_k - R_{k-1})

    Curves: numbers of pixels on and off the object with map >= t, at t = 0, 1/K, …, 1. K = 100 is the interval of the command
    line, 1000 that of its training configuration. With `constant_map="scored"` a map of zeros scores the object's area
    fraction. Ignored regions, as in OpenImages, are not supported.

    Returns:
        (B,) float64 in [0, 100], per cent, of each image alone; higher is better.
    """
    own, values = object_region(inputs, ground_truth), maps_of(inputs, maps, resize)
    places = torch.arange(thresholds + 1, dtype=torch.float64) / thresholds
    on, off = (_counts(to_float64(values).cpu(), chosen.cpu(), places) for chosen in (own, ~own))
    nowhere = ~own.flatten(1).any(1)
    if constant_map == "undefined":
        nowhere = nowhere | is_zero(values)
    return result_of(100 * _average_precision(on, off), nowhere, {"object": Curve(places, on), "background": Curve(places, off)})


def _counts(values: Tensor, chosen: Tensor, places: Tensor) -> Tensor:
    """Number of selected pixels of each map (B, H, W) at or above each value of `places` (K,): (B, K) float64."""
    count = len(places) + 1
    reached = torch.bucketize(values, places, right=True)  # the number of thresholds that a pixel reaches
    image = torch.arange(len(values))[:, None, None] * count
    table = torch.bincount((reached + image)[chosen], minlength=len(values) * count).reshape(len(values), count)
    return table.flip(1).cumsum(1).flip(1)[:, 1:].double()


def _average_precision(on: Tensor, off: Tensor) -> Tensor:
    """Average precision of each image (B,) from its counts (B, K) at rising thresholds; NaN without an object."""
    hits, all_ = on.flip(1), (on + off).flip(1)
    precision = torch.where(all_ > 0, hits / all_, 0)
    gained = hits.diff(dim=1, prepend=torch.zeros_like(hits[:, :1]))
    return (precision * gained).sum(1) / hits[:, -1]
