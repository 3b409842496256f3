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


@loss("gcc", paper="Pillai & Pirsiavash 2021, Explainable Models with Consistent Interpretations, AAAI 35(3): 2431-2439")
def gcc(step: TrainingStep, *, weight: NonNegativeFloat = 25.0, cam: str = "gradcam") -> LossResult:
    """GCC: cross-entropy plus the L1 distance of the map of a 2 x 2 image grid from the map of the image in its quarter.

    CE + lambda mean |n(G(x4)) - M|, (B,), the mean over the cells of the larger map. x4 is twice as high and wide as an image: the
    image in a quarter at random, and three images of other classes, drawn from the batch with replacement, in the others.
    G is the map for the image's label, n divides it by its sum, and M is n(G(x)) in that quarter and 0 in the others.
    Gradients flow through both maps. A map of zeros stays one, without a gradient (`dead`). An image without one of another
    class in its batch has no term (`alone`).

    Args:
        step: the batch.
        weight: lambda; the authors' command for ImageNet has 25, where the larger map has 14 x 14 cells: the mean falls with their number.
        cam: the explainer; the code has `hirescam`, which is the same on a linear head.

    Raises:
        UsageError: the larger map has not twice as many rows and columns, or an image has no label.
    """
    labels = step.known_labels
    mosaic = draw_mosaic(labels.cpu(), step.random).to(labels.device)
    own = map_of(step.trace, cam)
    shown = map_of(step.extra_pass(mosaic.of(step.images)), cam)
    wanted = mosaic.alone_in_its_quarter(energy_fractions(own).reshape(own.shape))
    if shown.shape != wanted.shape:
        raise UsageError(
            f"gcc: the map of 2 x 2 images has {_grid(shown)} cells, not twice the {_grid(own)} of one; "
            "give images whose sides are multiples of the network's stride"
        )
    apart = (energy_fractions(shown) - wanted.flatten(1)).abs().mean(1)
    ce = label_loss(step.logits, step.labels)
    dead = (own.flatten(1).amax(1) <= 0) | (shown.flatten(1).amax(1) <= 0)
    parts = {"ce": ce, "gcc": apart.where(~mosaic.alone, torch.nan), "dead": dead.to(ce.dtype), "alone": mosaic.alone.to(ce.dtype)}
    return LossResult(ce + weight * torch.where(mosaic.alone, 0, apart), parts, step.logits)


class Mosaic(NamedTuple):
    """Which images of a batch stand together.

    Attributes:
        tiles: (B, 4) the images in the quarters: top left, top right, bottom left, bottom right.
        quarter: (B,) where the image itself is.
        alone: (B,) bool, whether there was no image of another class.
    """

    tiles: Tensor
    quarter: Tensor
    alone: Tensor

    def to(self, device: torch.device) -> Mosaic:
        """The same on another device."""
        return Mosaic(*(part.to(device) for part in self))

    def of(self, images: Tensor) -> Tensor:
        """(B, 3, 2H, 2W) of images (B, 3, H, W)."""
        return _tiled(images[self.tiles])

    def alone_in_its_quarter(self, maps: Tensor) -> Tensor:
        """(B, 2h, 2w) of maps (B, h, w): each in its quarter, zeros in the others."""
        place = F.one_hot(self.quarter, 4).to(maps.dtype)[:, :, None, None]
        return _tiled((place * maps[:, None])[:, :, None])[:, 0]


def draw_mosaic(labels: Tensor, random: torch.Generator) -> Mosaic:
    """Three others for each image, of other labels (B,) than its own, and a quarter for itself."""
    others = (labels[:, None] != labels).double()
    alone = ~others.any(1)
    others[alone] = 1
    chosen = torch.multinomial(others, 3, replacement=True, generator=random)
    quarter = torch.randint(4, (len(labels),), generator=random)
    order = (torch.arange(4) - quarter[:, None] - 1) % 4  # 3, the image itself, at its quarter
    tiles = torch.cat([chosen, torch.arange(len(labels))[:, None]], 1).gather(1, order)
    return Mosaic(tiles, quarter, alone)


def _tiled(parts: Tensor) -> Tensor:
    """(B, C, 2H, 2W) of four parts each, (B, 4, C, H, W)."""
    count, _, channels, height, width = parts.shape
    rows = parts.reshape(count, 2, 2, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return rows.reshape(count, channels, 2 * height, 2 * width)


def _grid(maps: Tensor) -> str:
    return f"{maps.shape[1]} x {maps.shape[2]}"
