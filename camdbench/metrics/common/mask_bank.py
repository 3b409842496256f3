"""Mask bank: scores of images without seeded subsets of grid cells, computed once per image.

The subsets depend on seed, image id, grid and size alone. All explainers of a batch and all metrics that ask for the same subsets
share the passes, whatever class and output they read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.option_types import MapKind, Masking, ScoredClass, ScoredObjective
from camdbench.functional.cell_grid import cell_sums, cells, random_subsets
from camdbench.functional.curves import pairs
from camdbench.functional.float_precision import to_float64
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import image_version, scored_classes

_CLASSES: tuple[ScoredClass, ...] = ("target", "predicted")
_OUTPUTS: tuple[ScoredObjective, ...] = ("logit", "probability", "objective")
_ROUNDING = 1e-6  # of the largest value


class Subsets(NamedTuple):
    """Subsets of the cells of a grid.

    Attributes:
        cells: rows and columns of the grid, at most the shorter side of the image.
        size: number of cells in each subset.
        samples: number M of random subsets; 0: each cell alone, in order.
    """

    cells: int
    size: int = 1
    samples: int = 0


class Readout(NamedTuple):
    """What is read of an image without a subset: colour space of the removed cells, class and output."""

    masking: Masking
    scored_class: ScoredClass
    scored_output: ScoredObjective


def grid_side(inputs: MetricInputs, count: int) -> int:
    """Rows and columns of a grid of `count` x `count` cells, at most the shorter side of the image."""
    return min(count, *inputs.size)


def subset_masks(inputs: MetricInputs, subsets: Subsets) -> Tensor:
    """Whether each subset contains each cell, (B, M, N) bool on the CPU."""
    return inputs.shared(("subsets", subsets), lambda: _draw(inputs, subsets))


def _draw(inputs: MetricInputs, subsets: Subsets) -> Tensor:
    total = subsets.cells**2
    if not subsets.samples:
        return torch.eye(total, dtype=torch.bool).expand(len(inputs), -1, -1)
    purpose = f"subsets of {subsets.size} of {subsets.cells} x {subsets.cells} cells"
    return torch.stack([random_subsets(generator, total, subsets.size, subsets.samples) for generator in inputs.generators(purpose)])


def subset_scores(inputs: MetricInputs, subsets: Subsets, readout: Readout) -> Tensor:
    """Scores of the images without each subset, (B, M) float64 on the CPU."""
    bank = inputs.shared(("mask bank", subsets, readout.masking), lambda: _score(inputs, subsets, readout.masking))
    return bank[readout.scored_class, readout.scored_output]


def _score(inputs: MetricInputs, subsets: Subsets, masking: Masking) -> dict[tuple[ScoredClass, ScoredObjective], Tensor]:
    """Scores (B, M) of both classes by all outputs: one pass per subset."""
    images, blank, removed = inputs.images, image_version(inputs, "blank", masking), subset_masks(inputs, subsets).to(inputs.images.device)
    numbers, count = cells(inputs.size, subsets.cells, images.device), removed.shape[1]
    classes = {name: scored_classes(inputs, name) for name in _CLASSES}
    found: dict[tuple[ScoredClass, ScoredObjective], list[Tensor]] = {(name, output): [] for name in _CLASSES for output in _OUTPUTS}
    for image, point in pairs(len(images), count, numbers.numel(), images.device):
        logits = inputs.score(torch.where(removed[image, point][:, numbers][:, None], blank, images[image]))
        for (name, output), parts in found.items():
            parts.append(inputs.output_of(logits, classes[name][image], output, image))
    return {key: torch.cat(parts).unflatten(0, (len(images), count)) for key, parts in found.items()}


def is_still(scores: Tensor) -> Tensor:
    """Whether scores (B, M) differ by rounding alone, (B,) bool."""
    return scores.amax(1) - scores.amin(1) <= _ROUNDING * scores.abs().amax(1)


def pixel_map(inputs: MetricInputs, maps: MapKind) -> Tensor:
    """Map (B, H, W) float64 at image size: the raw one, enlarged bilinearly, or the one in [0, 1].

    Raises:
        NotApplicable: the raw map is unknown.
    """
    if maps == "raw" and inputs.raw is None:
        raise NotApplicable("the raw map is unknown; give maps='default', which takes the map in [0, 1]")
    return to_float64(upsample(inputs.raw, inputs.size) if maps == "raw" and inputs.raw is not None else inputs.saliency)


def cell_map(inputs: MetricInputs, count: int, maps: MapKind) -> Tensor:
    """Sums of the map over the cells of a grid, (B, count^2) float64 on the CPU."""
    return inputs.cached(("cell map", count, maps), lambda: cell_sums(pixel_map(inputs, maps), count).cpu())


def map_sums(inputs: MetricInputs, subsets: Subsets, maps: MapKind) -> Tensor:
    """Sum of the map over each subset, (B, M) float64 on the CPU, rounded to 1e-6 of the largest, which ties sums equal up to rounding."""
    sums = (subset_masks(inputs, subsets).double() @ cell_map(inputs, subsets.cells, maps)[:, :, None]).squeeze(2)
    unit = sums.abs().amax(1, keepdim=True) * _ROUNDING
    return torch.where(unit > 0, (sums / torch.where(unit > 0, unit, 1)).round() * unit, sums)
