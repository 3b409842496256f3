"""Inputs of a metric, computed lazily and cached."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.row import Status
from camdbench.functional.normalise import is_constant
from camdbench.functional.probability import log_odds
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier

T = TypeVar("T")


class SaliencyMaps(Protocol):
    """Finished maps of a batch, as an explainer leaves them."""

    @property
    def raw(self) -> Tensor:
        """(B, h, w), signed and unscaled."""
        ...

    @property
    def maps(self) -> Tensor:
        """(B, H, W) in [0, 1]."""
        ...

    @property
    def status(self) -> tuple[Status, ...]:
        """B states."""
        ...


class Features(Protocol):
    """What a target layer saw of the images."""

    @property
    def activations(self) -> Tensor:
        """(B, K, h, w)."""
        ...

    @property
    def class_weights(self) -> Tensor:
        """(C, K) of a head that is global average pooling and a linear layer."""
        ...


Explain = Callable[[Tensor, Tensor | None, Classifier | None], SaliencyMaps]
Change = Callable[[Tensor, Sequence[torch.Generator]], Tensor]
ExplainOthers = Callable[[int, str, Change], Sequence[tuple[tuple[str, ...], SaliencyMaps]]]


class MetricInputs:
    """One batch with the maps of one explainer, or with none for a metric of the model alone.

    Metrics that read the same part share it: AD, AG and AI cost one masked forward pass together, and none for the
    images as they are where `logits` are already known.

    Args:
        classifier: the model, frozen.
        images: (B, 3, H, W) in [0, 1].
        targets: (B,) the class that was explained.
        saliency: (B, H, W) in [0, 1].
        raw: (B, h, w) the map before up-sampling and normalisation, where known.
        logits: (B, C) of the images as they are, where known.
        boxes: B tensors (n, 4) xyxy pixels, where known.
        masks: (B, H, W) bool, where known.
        labels: (B,) ground-truth classes, -1 where unknown; all unknown where not given.
        present: (B, C) bool, the classes that each image shows, where there may be several.
        class_masks: (B, C, H, W) bool, the mask of each of them.
        ids: B names of the images, which random numbers depend on; their positions where not given.
        seed: seed of metrics that draw random numbers.
        explainer: explains other versions of the images, where the maps come from an explainer.
        others: explains other images of the data set, where there is one.
        features: what the target layer saw, where known.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Tensor,
        targets: Tensor,
        saliency: Tensor | None = None,
        *,
        raw: Tensor | None = None,
        logits: Tensor | None = None,
        boxes: tuple[Tensor, ...] | None = None,
        masks: Tensor | None = None,
        labels: Tensor | None = None,
        present: Tensor | None = None,
        class_masks: Tensor | None = None,
        ids: Sequence[str] | None = None,
        seed: int = 0,
        explainer: Explain | None = None,
        others: ExplainOthers | None = None,
        features: Features | None = None,
    ) -> None:
        self.classifier, self.images, self.targets = classifier, images, targets
        self.raw, self.boxes, self.masks, self.present, self.class_masks, self.seed = raw, boxes, masks, present, class_masks, seed
        self.labels = torch.full_like(targets, -1) if labels is None else labels
        self.ids = tuple(map(str, range(len(images)))) if ids is None else tuple(ids)
        self._saliency, self._logits, self._features = saliency, logits, features
        self._explainer, self._others = explainer, others
        self._cached: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def saliency(self) -> Tensor:
        """(B, H, W) in [0, 1].

        Raises:
            NotApplicable: there is no map, because the metric is of the model alone.
        """
        if self._saliency is None:
            raise NotApplicable("the metric looks at a map, and there is none")
        return self._saliency

    @cached_property
    def is_constant(self) -> Tensor:
        """(B,) bool, whether no place of the map differs from another, before normalisation where that is known."""
        return is_constant(self.saliency if self.raw is None else self.raw)

    @cached_property
    def logits(self) -> Tensor:
        """(B, C), of the images as they are."""
        return self.score(self.images) if self._logits is None else self._logits

    @cached_property
    def predictions(self) -> Tensor:
        """(B,) int64, the class of the largest logit of the images as they are."""
        return self.logits.argmax(1)

    @cached_property
    def log_odds(self) -> Tensor:
        """(B,) float64: log p - log(1 - p) of the explained class."""
        return log_odds(self.logits, self.targets)

    @property
    def activations(self) -> Tensor:
        """(B, K, h, w), the target layer's output.

        Raises:
            NotApplicable: the layer was not captured.
        """
        return self._seen().activations

    @property
    def class_weights(self) -> Tensor:
        """(C, K), for a head that is global average pooling and a linear layer.

        Raises:
            NotApplicable: the head is another one, or the layer was not captured.
        """
        return self._seen().class_weights

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of other images in [0, 1], without gradient."""
        with torch.no_grad():
            return self.classifier(images)

    def explain(self, images: Tensor, targets: Tensor | None = None, classifier: Classifier | None = None) -> SaliencyMaps:
        """The maps of the same explainer, with the same random numbers, for other versions (B, 3, H, W) of the images.

        Args:
            images: as many as the batch has, in its order.
            targets: (B,) classes to explain instead of the batch's own.
            classifier: another model to explain, frozen.

        Raises:
            NotApplicable: the maps were made elsewhere, so there is no explainer to ask.
        """
        if self._explainer is None:
            raise NotApplicable("the metric explains altered images, and there is no explainer to do so")
        return self._explainer(images, targets, classifier)

    def explain_others(self, count: int, purpose: str, change: Change) -> Sequence[tuple[tuple[str, ...], SaliencyMaps]]:
        """The maps of the same explainer for images of the whole data set, altered; the same ones for every image, made once.

        Args:
            count: how many, drawn by the seed; the batch's own images may be among them.
            purpose: what the change draws random numbers for, and the name that what is found is kept under.
            change: makes other versions of images (N, 3, H, W), with a generator for each.

        Returns:
            Their names and maps, in parts of one image size, each explained for its own class.

        Raises:
            NotApplicable: no data set lies behind the images, or it has fewer that can be read.
        """
        if self._others is None:
            raise NotApplicable("the metric compares with other images, and there is no data set to draw them from")
        return self._others(count, purpose, change)

    def random(self, index: int, purpose: str) -> torch.Generator:
        """The CPU generator of one image of the batch, from (seed, image id) alone."""
        return generator_for(self.seed, self.ids[index], purpose)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all metrics that name the same key."""
        if key not in self._cached:
            self._cached[key] = make()
        return cast("T", self._cached[key])

    def _seen(self) -> Features:
        if self._features is None:
            raise NotApplicable("the metric looks at a target layer, and none was captured")
        return self._features
