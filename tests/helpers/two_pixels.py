"""A game of two players: f(a, b) = a + 2 b + 3 a b of the image's first two pixels in its first row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier


class TwoPixels(nn.Module):
    """Logits f(a, b) and a."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images[:, 0, 0, 0], images[:, 0, 0, 1]
        return torch.stack([first + 2 * second + 3 * first * second, first], 1)


def two_pixels() -> Trace:
    """An image of 2 x 2 ones; a grid of 2 x 2 cells has a segment for each pixel."""
    return Trace(Classifier(TwoPixels(), mean=0.0, std=1.0), Batch(("image",), torch.ones(1, 3, 2, 2), torch.tensor([0])))
