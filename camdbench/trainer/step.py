"""TrainingStep: inputs of a loss in one training step."""

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
from camdbench.explainers.common.saliency import check_maps
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.trainer.batchnorm_updates import batchnorm_updates
from camdbench.trainer.distributed import ALONE, ProcessGroup


@dataclass(frozen=True)
class TrainingStep:
    """One batch and the network in training.

    Attributes:
        classifier: the network, with gradients, in its current mode.
        batch: images in [0, 1] with their annotations.
        random: generator of the loss.
        processes: the processes that share the batch; `batch` is this process's share.
        update_all: whether extra passes update running statistics too, besides the main pass.
        reduced: context manager of reduced precision, for passes up to the target layer.
    """

    classifier: Classifier
    batch: Batch
    random: torch.Generator
    processes: ProcessGroup = ALONE
    update_all: bool = False
    reduced: Callable[[], AbstractContextManager[object]] = nullcontext

    @cached_property
    def trace(self) -> Trace:
        """Trace of the unchanged batch for its labels: the main pass."""
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
        """(B,) class indices; raises UsageError if an image has no label."""
        if bool((self.labels < 0).any()):
            raise UsageError("the loss needs the label of every image; set data.labelled_fraction to 1 or train with cgc")
        return self.labels

    @property
    def logits(self) -> Tensor:
        """(B, C) logits of the unchanged batch."""
        return self.trace.logits

    @property
    def masks(self) -> Tensor:
        """(B, H, W) bool, True on the object; raises CamdbenchError if the data set has no masks."""
        if self.batch.masks is None:
            raise CamdbenchError("the loss needs masks, and the data set has none; use a data set with masks")
        return self.batch.masks

    @property
    def present(self) -> Tensor:
        """(B, C) 1 for the classes that each image shows, else 0; the label alone if the data set lists no other classes."""
        shown = self.batch.present if self.batch.present is not None else F.one_hot(self.known_labels, self.logits.shape[1])
        return shown.to(self.logits.dtype)

    @property
    def class_masks(self) -> Tensor:
        """(B, C, H, W) bool, the mask of each class; (B, 1, H, W) if one mask covers all classes of an image.

        Raises:
            CamdbenchError: the data set has no masks.
        """
        return self.masks[:, None] if self.batch.class_masks is None else self.batch.class_masks

    def main_pass(self, images: Tensor, targets: Tensor | str = "label") -> Trace:
        """Trace of images that replace the batch's, for classes (B,) or a target rule; updates the running statistics."""
        with batchnorm_updates(self.classifier.network, enabled=True):
            return self._trace(images, targets)

    def extra_pass(self, images: Tensor, targets: Tensor | str = "label") -> Trace:
        """Trace of (n * B) further images; does not update the running statistics unless `update_all`."""
        with batchnorm_updates(self.classifier.network, enabled=self.update_all):
            return self._trace(images, targets)

    def _trace(self, images: Tensor, targets: Tensor | str) -> Trace:
        times = len(images) // len(self.batch)
        labels = torch.cat([self.labels] * times)
        batch = Batch(self.batch.ids * times, images, labels)
        trace = Trace(self.classifier, batch, target=targets, differentiable=True)
        exact = self.classifier.layer is None or images.requires_grad  # without a layer, or for input gradients: float32
        with nullcontext() if exact else self.reduced():
            trace.logits  # noqa: B018 - makes the lazy pass inside the contexts
        return trace


def parse_cam(text: str) -> Spec:
    """The spec of an explainer with a trainable map.

    Raises:
        UsageError: unknown explainer, or its map does not follow from activations and gradients of a layer.
    """
    spec = explainers.parse_one(text)
    searched = spec.name == "opticam"  # its optimisation of the weights is not differentiable
    if spec.wrapped or searched or not {"layer", "gradients"} <= set(explainers.get(spec.name).facts.needs):
        raise UsageError(f"cam={text!r}: the map must follow from a layer's activations and gradients; use gradcam or layercam")
    return spec


def map_of(trace: Trace, cam: str) -> Tensor:
    """The raw map (B, h, w) of an explainer, differentiable by the weights; raises UsageError if the explainer has no trainable map."""
    spec = parse_cam(cam)
    map_ = check_maps(spec, explainers.load(spec.name)(trace, **spec.arguments), trace.images)
    if not map_.requires_grad:
        raise UsageError(f"cam={cam!r}: the map has no gradient; choose gradcam, layercam or another of that family")
    return map_


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy (B,) with the labels; 0 for label -1."""
    return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")


def presence_losses(logits: Tensor, present: Tensor, pos_weight: tuple[float, ...]) -> Tensor:
    """Binary cross-entropies (B, C) of logits with the classes present; `pos_weight` multiplies those of present classes.

    Raises:
        UsageError: the number of weights is not C, or one is negative.
    """
    if pos_weight and (len(pos_weight) != logits.shape[1] or min(pos_weight) < 0):
        raise UsageError(f"pos_weight={pos_weight}: give {logits.shape[1]} weights of at least 0, one per class")
    weights = torch.tensor(pos_weight, dtype=logits.dtype, device=logits.device) if pos_weight else None
    return F.binary_cross_entropy_with_logits(logits, present, reduction="none", pos_weight=weights)
