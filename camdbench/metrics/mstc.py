"""MST-C: compactness of the most salient pixels."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import DECLARED
from camdbench.core.option_types import MapKind, PositiveFraction
from camdbench.core.registries import metric
from camdbench.functional.compactness import compactness
from camdbench.functional.pixel_order import pixel_ranks
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.mask_bank import pixel_map
from camdbench.metrics.common.result import MetricResult

MSTC_PROTOCOLS = (DECLARED.variant("mesgari"), DECLARED.variant("raw", maps="raw"))
DIFFERS = (
    Difference(
        "Quantus",
        "takes all pixels of at least the 80th percentile",
        "with over 80 % of zeros these are all pixels: 158.7 for any map of 10 x 10 pixels; here exactly 20 %, zeros never",
    ),
    Difference("Quantus", "a graph in several parts has a tree for each", "the same here: clusters far apart count as cohesive"),
)


@metric(
    "mstc",
    paper="Mesgari et al. 2026, arXiv:2603.29491, definition of MST-C",
    higher_is_better=True,
    unit="",
    values="(0, inf)",
    tolerance=1.0,
    aliases=("minimum_spanning_tree_compactness",),
    undefined="the map is constant, or fewer than two pixels are salient",
    differs=DIFFERS,
    protocols=MSTC_PROTOCOLS,
)
def mstc(inputs: MetricInputs, *, share: PositiveFraction = 0.2, neighbours: PositiveInt = 20, maps: MapKind = "default") -> MetricResult:
    r"""MST-C: compactness of the most salient pixels, by convex hull and minimum spanning tree.

    .. math:: 100\,d\,\frac{1}{\sqrt{A}}\,\frac{n}{L}

    The n pixels are the `share` with the largest absolute value, ceil(share HW) by rank, without zeros; of equal pixels the first in
    raster order. d is the image's diagonal, A the area of their convex hull (d^2 for pixels on one line), and L the length of their
    minimum spanning tree in the graph of the `neighbours` nearest pixels. It depends on the image's size and on n, so compare maps of
    one size. The map alone counts: a wrong compact map has a high value.

    Returns:
        (B,) float64 above 0; higher is better.

    Raises:
        NotApplicable: `maps="raw"`, and the raw map is unknown.
    """
    shown = pixel_map(inputs, maps).abs()
    count = math.ceil(round(share * shown[0].numel(), 6))
    chosen = ((pixel_ranks(shown.float()) < count) & (shown.flatten(1) > 0)).unflatten(1, inputs.size).cpu()
    values = torch.tensor([compactness(torch.argwhere(one).numpy(), inputs.size, neighbours) for one in chosen], dtype=torch.float64)
    undefined = inputs.is_constant.cpu() | (_sizes(chosen) < 2)
    return MetricResult(torch.where(undefined, torch.nan, values), undefined)


def _sizes(chosen: Tensor) -> Tensor:
    return chosen.flatten(1).sum(1)
