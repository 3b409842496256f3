"""GCC loss: the map of a 2 x 2 image grid must equal the map of one of its images in that quarter, and 0 elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.soft_overlap import energy_fractions
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult


@loss(
    "gcc",
    paper="Pillai & Pirsiavash 2021, Consistent Interpretations, AAAI 35(3), released train_gcam_grid_consistency.py",
)
def gcc(step: TrainingStep, *, weight: NonNegativeFloat = 25.0, cam: str = "gradcam") -> LossResult:
    r"""GCC: cross-entropy plus the L1 distance between the map of a 2 x 2 image grid and the map of one of its images.

    .. math:: \mathrm{CE} + \lambda\, \mathrm{mean}\,|n(G(x_4)) - M|

    The mean is over the cells of the larger map. The grid x_4 has the image in a random quarter and
    three images of other classes, drawn from the batch with replacement. G is the map of the image's label, n divides by
    the sum, and M is n(G(x)) in the quarter of the image and 0 elsewhere. Gradients flow through both maps. A map of zeros
    has no gradient (`zero_map`). An image has no second term if its batch has no other class (`alone`).

    Args:
        step: the batch.
        weight: lambda; the authors' command for ImageNet has 25 for a larger map of 14 x 14 cells.
        cam: the explainer; the authors' code has `hirescam`, which is equal on a linear head.

    Returns:
        (B,) not negative; lower is better.

    Raises:
        UsageError: the larger map does not have twice as many rows and columns, or an image has no label.
    """
    labels = step.known_labels
    mosaic = draw_mosaic(labels.cpu(), step.random).to(labels.device)
    own = map_of(step.trace, cam)
    larger = map_of(step.extra_pass(mosaic.of(step.images)), cam)
    target = mosaic.in_quarter(energy_fractions(own).reshape(own.shape))
    if larger.shape != target.shape:
        raise UsageError(
            f"gcc: the map of 2 x 2 images has {_grid(larger)} cells, not twice the {_grid(own)} of one image; "
            "use images whose sides are multiples of the network's stride"
        )
    distance = (energy_fractions(larger) - target.flatten(1)).abs().mean(1)
    ce = label_loss(step.logits, step.labels)
    zero_map = (own.flatten(1).amax(1) <= 0) | (larger.flatten(1).amax(1) <= 0)
    parts = {
        "ce": ce,
        "gcc": distance.where(~mosaic.alone, torch.nan),
        "zero_map": zero_map.to(ce.dtype),
        "alone": mosaic.alone.to(ce.dtype),
    }
    return LossResult(ce + weight * torch.where(mosaic.alone, 0, distance), parts, step.logits)


class Mosaic(NamedTuple):
    """Composition of 2 x 2 image grids.

    Attributes:
        tiles: (B, 4) images in the quarters: top left, top right, bottom left, bottom right.
        quarter: (B,) quarter of the image itself.
        alone: (B,) bool, whether the batch has no image of another class.
    """

    tiles: Tensor
    quarter: Tensor
    alone: Tensor

    def to(self, device: torch.device) -> Mosaic:
        """The mosaic on another device."""
        return Mosaic(*(part.to(device) for part in self))

    def of(self, images: Tensor) -> Tensor:
        """Image grids (B, 3, 2H, 2W) of images (B, 3, H, W)."""
        return _tile(images[self.tiles])

    def in_quarter(self, maps: Tensor) -> Tensor:
        """(B, 2h, 2w): maps (B, h, w) in the quarter of their image, 0 elsewhere."""
        place = F.one_hot(self.quarter, 4).to(maps.dtype)[:, :, None, None]
        return _tile((place * maps[:, None])[:, :, None])[:, 0]


def draw_mosaic(labels: Tensor, random: torch.Generator) -> Mosaic:
    """Draw three images of other labels (B,) for each image, and the quarter of the image."""
    others = (labels[:, None] != labels).double()
    alone = ~others.any(1)
    others[alone] = 1
    chosen = torch.multinomial(others, 3, replacement=True, generator=random)
    quarter = torch.randint(4, (len(labels),), generator=random)
    order = (torch.arange(4) - quarter[:, None] - 1) % 4  # 3, the image itself, at its quarter
    tiles = torch.cat([chosen, torch.arange(len(labels))[:, None]], 1).gather(1, order)
    return Mosaic(tiles, quarter, alone)


def _tile(parts: Tensor) -> Tensor:
    """(B, 4, C, H, W) to (B, C, 2H, 2W)."""
    count, _, channels, height, width = parts.shape
    rows = parts.reshape(count, 2, 2, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return rows.reshape(count, channels, 2 * height, 2 * width)


def _grid(maps: Tensor) -> str:
    return f"{maps.shape[1]} x {maps.shape[2]}"
