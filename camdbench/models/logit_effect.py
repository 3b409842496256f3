"""Effect of an option of speed on the logits: largest difference, and whether the predicted classes stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

TOLERANCE = 1e-3  # of the spread of the logits of an image


@dataclass(frozen=True)
class LogitEffect:
    """Difference of two passes of the same images.

    Attributes:
        images: number of images.
        difference: largest absolute difference of a logit.
        spread: largest range of the logits of an image.
        same_class: number of images whose largest logit is of the same class.
    """

    images: int
    difference: float
    spread: float
    same_class: int

    @property
    def relative(self) -> float:
        """The difference in parts of the spread."""
        return self.difference / self.spread if self.spread else self.difference

    @property
    def is_rounding(self) -> bool:
        """Whether the difference is at most 1e-3 of the spread."""
        return self.relative <= TOLERANCE

    def __str__(self) -> str:
        same = f"{self.same_class} of {self.images} predicted classes are equal"
        return f"logits of {self.images} images differ by at most {self.difference:.1e} (they range over {self.spread:.3g}); {same}"

    def record(self) -> dict[str, Any]:
        """The effect for run.json."""
        rounded = {"logit_difference": float(f"{self.difference:.2e}"), "logit_range": float(f"{self.spread:.4g}")}
        return {"images": self.images, **rounded, "same_class": self.same_class}


def logit_effect(classifier: Classifier, other: Classifier, images: Tensor) -> LogitEffect:
    """Effect on images (B, 3, H, W) in [0, 1] of the passes that `other.score` makes, against those of `classifier`.

    All passes are without gradients and uncounted.
    """
    with torch.inference_mode(mode=False), torch.no_grad(), classifier.uncounted(), other.uncounted():
        with classifier.frozen():
            first = classifier(images).double()
        with other.frozen():
            second = other.score(images).double()
    finite = first.isfinite() & second.isfinite()
    other_kind = (first != second) & ~(first.isnan() & second.isnan())  # of values that are not finite
    gap = torch.where(finite, first - second, other_kind.double()).abs()
    known = torch.where(finite, first, first.new_tensor(0))
    same = int((first.argmax(1) == second.argmax(1)).sum())
    return LogitEffect(len(images), float(gap.max()), float((known.amax(1) - known.amin(1)).max()), same)
