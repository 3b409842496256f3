"""CutMix with core-focused cross-entropy: rectangles are exchanged between images, together with object masks and labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.registries import loss
from camdbench.functional.core_focused_loss import core_of, mixed_exponents, on_grid
from camdbench.trainer.step import TrainingStep
from camdbench.trainer.task import LossResult


@loss(
    "cutmix-cfce", paper="Improving feature alignment in ConvNets using ContrastiveCAMs (anonymous, under review), eq. 73", needs=("masks",)
)
def cutmix_cfce(step: TrainingStep) -> LossResult:
    """CutMix-CFCE: CFCE on images into which a rectangle of the previous image of the batch is pasted, with its object (eq. 73).

    lambda L(t) + (1 - lambda) L(t') with L(t) = log sum_i exp(b_i - b_t + a_i), Eq. 73's exponents a, t' the neighbour's label and
    lambda the share of the image that stayed its own. The rectangle is the same for the whole batch, as in the paper,
    its area uniform in [0, 1] (CutMix with alpha = 1) before it is cut at the edges. An image without a mask is all
    object. A batch of one is pasted into itself.

    Raises:
        NotApplicable: the head is not global average pooling and a linear layer.
    """
    height, width = step.images.shape[-2:]
    box = draw_rectangle(height, width, step.random)
    seen = step.main_pass(box.paste(step.images))
    grid = (seen.activations.shape[2], seen.activations.shape[3])
    _, empty = core_of(step.masks, grid)
    owners = torch.where(step.masks | empty[:, None, None], step.known_labels[:, None, None], -1)
    mixed = on_grid(box.paste(owners), grid).long()
    neighbours = step.labels.roll(1, 0)
    bias = seen.logits - seen.activations.mean((2, 3)) @ seen.class_weights.T

    def against(labels: Tensor) -> Tensor:
        exponents = mixed_exponents(seen.activations, seen.class_weights, mixed, labels)
        return F.cross_entropy(exponents + bias, labels, reduction="none")

    own, other = against(step.labels), against(neighbours)
    kept = 1 - box.area / (height * width)
    return LossResult(kept * own + (1 - kept) * other, {"own": own, "pasted": other}, seen.logits)


class Rectangle(NamedTuple):
    """Rows from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def paste(self, images: Tensor) -> Tensor:
        """InMemorySplit (B, …, H, W) with this box taken from the image before them, the first from the last."""
        mixed, rows, columns = images.clone(), slice(self.top, self.bottom), slice(self.left, self.right)
        mixed[..., rows, columns] = images.roll(1, 0)[..., rows, columns]
        return mixed


def draw_rectangle(height: int, width: int, random: torch.Generator) -> Rectangle:
    """A rectangle of the image's proportions around a random place, cut at the edges; its area before that is uniform."""
    area, row, column = torch.rand(3, generator=random, dtype=torch.float64).tolist()
    rows, columns = area**0.5 * height, area**0.5 * width
    top, bottom = (min(max(round(row * height + side * rows / 2), 0), height) for side in (-1, 1))
    left, right = (min(max(round(column * width + side * columns / 2), 0), width) for side in (-1, 1))
    return Rectangle(top, left, bottom, right)
