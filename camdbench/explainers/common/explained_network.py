"""A classifier whose output is the explained score, for libraries that differentiate or score what a network returns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camdbench.explainers.common.trace import Trace


class Explained(nn.Module):
    """Explained scores (N,) of altered copies of one image of a batch.

    Args:
        trace: the batch.

    Attributes:
        index: place of the image in the batch.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.classifier, self.index = trace.classifier, 0
        self._trace = trace

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N,) of images (N, 3, H, W) in [0, 1]."""
        return self._trace.explained(self.classifier(images), torch.full((len(images),), self.index, device=images.device))
