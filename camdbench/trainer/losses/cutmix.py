"""CutMix with core-focused cross-entropy: rectangles are exchanged between images, with object masks and labels."""

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
    r"""CutMix-CFCE: CFCE on images with a rectangle pasted from the previous image of the batch (eq. 73).

    .. math:: \lambda L(t) + (1 - \lambda)\,L(t'), \quad L(t) = \log \sum_i \exp(b_i - b_t + a_i)

    The exponents a are those of eq. 73, t' is the label of the previous image and lambda the unchanged area fraction. As in
    the paper, one rectangle serves the whole batch; its area is uniform in [0, 1] (CutMix with alpha = 1) before clipping.
    The core of an image without a mask is the whole image.

    Returns:
        (B,) nats, not negative; lower is better.

    Raises:
        NotApplicable: the head is not global average pooling and a linear layer.
    """
    height, width = step.images.shape[-2:]
    box = draw_rectangle(height, width, step.random)
    trace = step.main_pass(box.paste(step.images))
    grid = (trace.activations.shape[2], trace.activations.shape[3])
    _, empty = core_of(step.masks, grid)
    owners = torch.where(step.masks | empty[:, None, None], step.known_labels[:, None, None], -1)
    mixed = on_grid(box.paste(owners), grid).long()
    neighbours = step.labels.roll(1, 0)
    bias = trace.logits - trace.activations.mean((2, 3)) @ trace.class_weights.T

    def loss_of(labels: Tensor) -> Tensor:
        exponents = mixed_exponents(trace.activations, trace.class_weights, mixed, labels)
        return F.cross_entropy(exponents + bias, labels, reduction="none")

    own, other = loss_of(step.labels), loss_of(neighbours)
    kept = 1 - box.area / (height * width)
    return LossResult(kept * own + (1 - kept) * other, {"own": own, "pasted": other}, trace.logits)


class Rectangle(NamedTuple):
    """Rows from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Area in pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def paste(self, images: Tensor) -> Tensor:
        """Tensors (B, …, H, W) with this rectangle taken from the previous one of the batch, cyclically."""
        mixed, rows, columns = images.clone(), slice(self.top, self.bottom), slice(self.left, self.right)
        mixed[..., rows, columns] = images.roll(1, 0)[..., rows, columns]
        return mixed


def draw_rectangle(height: int, width: int, random: torch.Generator) -> Rectangle:
    """A rectangle of the image's aspect ratio at a random centre, of uniform area, clipped to the image."""
    area, row, column = torch.rand(3, generator=random, dtype=torch.float64).tolist()
    rows, columns = area**0.5 * height, area**0.5 * width
    top, bottom = (min(max(round(row * height + side * rows / 2), 0), height) for side in (-1, 1))
    left, right = (min(max(round(column * width + side * columns / 2), 0), width) for side in (-1, 1))
    return Rectangle(top, left, bottom, right)
