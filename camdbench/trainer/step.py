"""TrainingStep and LossResult: what a loss may look at, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import explainers
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.trainer.batchnorm_updates import batchnorm_updates
from camdbench.trainer.distributed import ALONE, ProcessGroup


@dataclass(frozen=True)
class TrainingStep:
    """One batch on its way through the network that is being trained.

    Attributes:
        classifier: the network, with gradients, as `train()` or `eval()` left it.
        batch: images in [0, 1] with their annotations.
        random: where a loss draws from.
        ranks: the processes that share the batch; this one has its part.
        moving: whether every pass moves the running statistics of normalisation layers, or the main one only.
        reduced: makes the context of reduced precision, in which a pass goes as far as the target layer.
    """

    classifier: Classifier
    batch: Batch
    random: torch.Generator
    ranks: ProcessGroup = ALONE
    moving: bool = False
    reduced: Callable[[], AbstractContextManager[object]] = nullcontext

    @cached_property
    def trace(self) -> Trace:
        """The batch as it is, at the target layer, for its labels: the main pass."""
        return self.main_pass(self.batch.images)

    @property
    def images(self) -> Tensor:
        """(B, 3, H, W) in [0, 1]."""
        return self.batch.images

    @property
    def labels(self) -> Tensor:
        """(B,) class indices, -1 where unknown."""
        return self.batch.labels

    @property
    def known_labels(self) -> Tensor:
        """(B,) class indices.

        Raises:
            UsageError: an image has none.
        """
        if bool((self.labels < 0).any()):
            raise UsageError("the loss needs the label of every image: leave data.labelled_fraction at 1, or train with cgc")
        return self.labels

    @property
    def logits(self) -> Tensor:
        """(B, C) of the batch as it is."""
        return self.trace.logits

    @property
    def masks(self) -> Tensor:
        """(B, H, W) bool, True on the object.

        Raises:
            CamdbenchError: the data set has none.
        """
        if self.batch.masks is None:
            raise CamdbenchError("the loss needs masks, and the data set has none")
        return self.batch.masks

    @property
    def present(self) -> Tensor:
        """(B, C) of zeros and ones: the classes that each image shows; its label alone where the data set knows no more."""
        shown = self.batch.present if self.batch.present is not None else F.one_hot(self.known_labels, self.logits.shape[1])
        return shown.to(self.logits.dtype)

    @property
    def class_masks(self) -> Tensor:
        """(B, C, H, W) bool, the mask of each class; (B, 1, H, W) where the image has one for all that it shows.

        Raises:
            CamdbenchError: the data set has none.
        """
        return self.masks[:, None] if self.batch.class_masks is None else self.batch.class_masks

    def main_pass(self, images: Tensor, targets: Tensor | str = "label") -> Trace:
        """The trace of these images in place of the batch's own, for classes or by a rule; its pass moves the running statistics."""
        with batchnorm_updates(self.classifier.network, moving=True):
            return self._traced(images, targets)

    def extra_pass(self, images: Tensor, targets: Tensor | str = "label") -> Trace:
        """The trace of further images, any whole number of times the batch; its pass leaves the running statistics alone."""
        with batchnorm_updates(self.classifier.network, moving=self.moving):
            return self._traced(images, targets)

    def _traced(self, images: Tensor, targets: Tensor | str) -> Trace:
        times = len(images) // len(self.batch)
        labels = torch.cat([self.labels] * times)
        batch = Batch(self.batch.ids * times, images, labels)
        trace = Trace(self.classifier, batch, target=targets, differentiable=True)
        exact = self.classifier.layer is None or images.requires_grad  # no layer to return to float32 at; derivatives by pixels
        with nullcontext() if exact else self.reduced():
            trace.logits  # noqa: B018 - the pass is made here, where it is known what it may move
        return trace


def parse_cam(text: str) -> Spec:
    """The spec of an explainer whose map can be trained.

    Raises:
        UsageError: no such explainer, or its map is not made of activations and gradients of a layer.
    """
    spec = explainers.parse_one(text)
    searched = spec.name == "opticam"  # a loss would not follow how the search found its weights
    if spec.wrapped or searched or not {"layer", "gradients"} <= set(explainers.get(spec.name).facts.needs):
        raise UsageError(f"cam={text!r}: a loss needs a map made of a layer's activations and gradients, such as gradcam or layercam")
    return spec


def map_of(trace: Trace, cam: str) -> Tensor:
    """The raw map (B, h, w) of an explainer, in the graph of the weights.

    Raises:
        UsageError: as `parse_cam`, or the map does not depend on the weights.
    """
    spec = parse_cam(cam)
    map_: Tensor = explainers.load(spec.name)(trace, **spec.arguments)
    if not map_.requires_grad:
        raise UsageError(f"cam={cam!r}: the map has no gradient; choose gradcam, layercam or another of that family")
    return map_


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy (B,) against the labels; 0 where a label is -1."""
    return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
