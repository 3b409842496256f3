"""Evidence: what a metric may look at, lazily and once."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from camdbench.functional.probability import log_odds
from camdbench.models.classifier import Classifier


class Evidence:
    """One batch with the maps of one explainer.

    Metrics that read the same part share it: AD, AG and AI cost one masked forward pass together, and none for the
    images as they are where `logits` are already known.

    Args:
        classifier: the model, frozen.
        images: (B, 3, H, W) in [0, 1].
        targets: (B,) the class that is scored.
        saliency: (B, H, W) in [0, 1].
        raw: (B, h, w) the map before up-sampling and normalisation, where known.
        logits: (B, C) of the images as they are, where known.
        boxes: B tensors (n, 4) xyxy pixels, where known.
        masks: (B, H, W) bool, where known.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Tensor,
        targets: Tensor,
        saliency: Tensor,
        *,
        raw: Tensor | None = None,
        logits: Tensor | None = None,
        boxes: tuple[Tensor, ...] | None = None,
        masks: Tensor | None = None,
    ) -> None:
        self.classifier, self.images, self.targets, self.saliency = classifier, images, targets, saliency
        self.raw, self.boxes, self.masks = raw, boxes, masks
        self._logits = logits

    @cached_property
    def logits(self) -> Tensor:
        """(B, C), of the images as they are."""
        return self._score(self.images) if self._logits is None else self._logits

    @cached_property
    def masked_logits(self) -> Tensor:
        """(B, C), of the images times their maps, in pixel space, before mean/std."""
        return self._score(self.images * self.saliency.unsqueeze(1))

    @cached_property
    def log_odds(self) -> Tensor:
        """(B,) float64: log p - log(1 - p) of the target class."""
        return log_odds(self.logits, self.targets)

    @cached_property
    def masked_log_odds(self) -> Tensor:
        """(B,) float64: the same of the masked images."""
        return log_odds(self.masked_logits, self.targets)

    def _score(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.classifier(images)
