"""Localisation in mosaics of several images: grid pointing game, DiFull, DiPart, and Focus.

All divide the positive part of the raw, signed map, resized to the mosaic, between the cells. The map is not normalised: a map
scaled to [0, 1] has other shares, since the scaling moves zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.boxes import cell_boxes, union_mask
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.functional.overlap import region_energy
from camdbench.metrics.common.ground_truth import result_of
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.mosaic_heads import cell_classifiers

ON_CELLS = Protocol("rao", maps="positive", resize="bilinear", ground_truth="cells")
GRID_PROTOCOLS = (ON_CELLS,)
FOCUS_PROTOCOLS = (ON_CELLS.variant("arias-duart"),)
DISCONNECTED_PROTOCOLS = (ON_CELLS.variant("rao", scored_class="each cell's"),)
_SHARE = {"higher_is_better": True, "unit": "%", "values": "[0, 100]"}
NO_CELL = "not exactly one cell has the explained class"
NO_CELLS = "not exactly two cells have the explained class"
SMALL_SUMS = (
    Difference(
        "Attribution-Evaluation",
        "scores 0 where the positive part of the map sums to at most 1e-7",
        "here only where it is zero everywhere, so that a factor on the map changes no value",
    ),
)
ALL_CELLS = (
    Difference(
        "Attribution-Evaluation",
        "scores DiFull and DiPart on two corners, of one class",
        "here on all cells, each for the class that it shows",
    ),
)


@metric(
    "grid_pointing",
    paper="Böhle et al. 2021, arXiv:2104.00032, section 4; Rao et al. 2022, arXiv:2205.10435, eq. 1",
    aliases=("gridpg",),
    needs=("mosaic",),
    undefined=NO_CELL,
    protocols=GRID_PROTOCOLS,
    differs=SMALL_SUMS,
    **_SHARE,
)
def grid_pointing(inputs: MetricInputs) -> MetricResult:
    r"""Grid pointing game (GridPG): fraction of positive attribution in the cell of the explained class.

    .. math:: 100 \sum_{i \in \text{cell}} \max(0, s_i) / \sum_i \max(0, s_i)

    s is the raw map, resized to the mosaic of n x n images. A uniform map scores 100 / n^2, a map without positive values 0.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    own = _cells(inputs) == inputs.targets[:, None]
    return result_of(_share(inputs.raw, own, inputs), own.sum(1) != 1)


@metric(
    "focus",
    paper="Arias-Duart et al. 2021, arXiv:2109.15035, section 3",
    needs=("mosaic",),
    undefined=NO_CELLS,
    protocols=FOCUS_PROTOCOLS,
    differs=(Difference("Quantus", "adds 1e-9 to the sum of the positive part", "differs only for maps with values near 1e-9"),),
    **_SHARE,
)
def focus(inputs: MetricInputs) -> MetricResult:
    r"""Focus: fraction of positive attribution in the two cells of the explained class, out of four.

    .. math:: 100 \sum_{i \in \text{cells}} \max(0, s_i) / \sum_i \max(0, s_i)

    s is the raw map, resized to the mosaic, of the data set `grid(…, mosaic="focus")`. A uniform map scores 50, a map without positive
    values 0.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    own = _cells(inputs) == inputs.targets[:, None]
    return result_of(_share(inputs.raw, own, inputs), own.sum(1) != 2)


@metric(
    "difull",
    paper="Rao et al. 2022, arXiv:2205.10435, section 3 (DiFull)",
    needs=("mosaic", "explainer", "linear head"),
    protocols=DISCONNECTED_PROTOCOLS,
    differs=ALL_CELLS,
    **_SHARE,
)
def difull(inputs: MetricInputs) -> MetricResult:
    r"""DiFull: fraction of positive attribution in the cell that a head sees alone; mean over cells.

    .. math:: \frac{100}{n^2} \sum_c \sum_{i \in c} \max(0, s^c_i) / \sum_i \max(0, s^c_i)

    s^c explains the class of cell c, for a network that reads this cell and no other. Gradients at the input score 100.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the network has no linear head, or the cells differ in size.
    """
    return _disconnected(inputs, apart=True)


@metric(
    "dipart",
    paper="Rao et al. 2022, arXiv:2205.10435, section 3 (DiPart)",
    needs=("mosaic", "explainer", "linear head"),
    protocols=DISCONNECTED_PROTOCOLS,
    differs=ALL_CELLS,
    **_SHARE,
)
def dipart(inputs: MetricInputs) -> MetricResult:
    r"""DiPart: fraction of positive attribution in the cell whose features a head pools; mean over cells.

    .. math:: \frac{100}{n^2} \sum_c \sum_{i \in c} \max(0, s^c_i) / \sum_i \max(0, s^c_i)

    s^c explains the class of cell c, for a head on the features of this cell. The features are those of the whole mosaic, so that
    their receptive fields cross the edges of cells.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the network has no linear head, or images or features do not divide into n x n equal cells.
    """
    return _disconnected(inputs, apart=False)


class _Setting(NamedTuple):
    """Key of the maps of a setting that all explainers share."""

    name: str
    apart: bool


def _disconnected(inputs: MetricInputs, *, apart: bool) -> MetricResult:
    cells = _cells(inputs)
    count = cells.shape[1]

    def versions() -> Iterable[AlteredImages]:
        networks = cell_classifiers(inputs.classifier, inputs.images, isqrt(count), apart=apart)
        return (AlteredImages(inputs.images, cells[:, index], own) for index, own in enumerate(networks))

    try:
        maps = [found.raw for found in inputs.explain_versions(_Setting("cells", apart), versions, count)]
    except UsageError as error:  # the explainer names a layer of the whole network
        raise NotApplicable(f"the network of single cells has features and a head: {error}") from None
    regions = torch.eye(count, dtype=torch.bool)
    shares = [_share(raw, regions[index].expand(len(inputs), -1), inputs) for index, raw in enumerate(maps)]
    return result_of(torch.stack(shares).mean(0), torch.zeros(len(inputs), dtype=torch.bool))


def _cells(inputs: MetricInputs) -> Tensor:
    """Classes of the cells, (B, n * n) int64 on the device of the images.

    Raises:
        NotApplicable: the images are no mosaics.
    """
    if inputs.cells is None:
        raise NotApplicable("needs mosaics of several images, of the data set grid(…)")
    return inputs.cells.to(inputs.targets.device)


def _share(raw: Tensor | None, own: Tensor, inputs: MetricInputs) -> Tensor:
    """Percentage of the positive part of raw maps inside cells `own` (B, n * n) bool, (B,) float64; 0 for maps without one."""
    maps = inputs.saliency if raw is None else raw
    positive = to_float64(upsample(maps.float().nan_to_num(0.0, 0.0, 0.0), inputs.size)).relu()
    found = region_energy(positive, _region(own, inputs.size).to(positive.device))
    return torch.where(found.total > 0, 100 * found.inside / found.total, 0.0)


def _region(own: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (B, H, W) bool of cells (B, n * n) bool."""
    boxes: Sequence[Tensor] = [cell_boxes(size, isqrt(own.shape[1]))[chosen.cpu()] for chosen in own]
    return union_mask(boxes, size)
