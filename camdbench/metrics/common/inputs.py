"""Inputs of a metric, computed lazily and cached."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.map_sum import Reference
from camdbench.core.row import Status
from camdbench.datasets.samples import Interventions
from camdbench.functional.curves import Output, class_output
from camdbench.functional.file_boxes import FileBoxes
from camdbench.functional.normalise import is_constant
from camdbench.functional.pass_size import in_halves
from camdbench.functional.probability import log_odds
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import copy_counted

T = TypeVar("T")


class SaliencyMaps(Protocol):
    """Maps of a batch, raw and normalised."""

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
    """Output and class weights of a target layer."""

    @property
    def activations(self) -> Tensor:
        """Output of the target layer, (B, K, h, w)."""
        ...

    @property
    def class_weights(self) -> Tensor:
        """Class weights (C, K) of a head of global average pooling and a linear layer."""
        ...


class AlteredImages(NamedTuple):
    """Altered images of a batch, to be explained.

    Attributes:
        images: (B, 3, H, W) in [0, 1], as many as the batch has, in its order.
        targets: (B,) classes to explain; None: those of the batch.
        classifier: another frozen model to explain.
    """

    images: Tensor
    targets: Tensor | None = None
    classifier: Classifier | None = None


class Shared(Protocol):
    """Keeps results for all explainers of a batch."""

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """Result of `make`, computed once."""
        ...


Explain = Callable[[Tensor, Tensor | None, Classifier | None], SaliencyMaps]
ExplainVersions = Callable[[Hashable, Callable[[], Iterable[AlteredImages]], int], Iterator[SaliencyMaps]]
Change = Callable[[Tensor, Sequence[torch.Generator]], Tensor]
ExplainOthers = Callable[[int, str, Change], Sequence[tuple[tuple[str, ...], SaliencyMaps]]]


class MetricInputs:
    """One batch with the maps of one explainer; without maps for a metric of the model alone.

    Metrics share cached parts: AD, AG and AI cost one masked forward pass together, and none for the original images if
    `logits` are given.

    Args:
        classifier: the model, frozen.
        images: (B, 3, H, W) in [0, 1].
        targets: (B,) explained classes.
        saliency: (B, H, W) in [0, 1].
        raw: (B, h, w) map before up-sampling and normalisation.
        logits: (B, C) of the original images.
        boxes: B tensors (n, 4), xyxy in pixels.
        file_boxes: B boxes as their annotation files state them; default: as `boxes`.
        masks: (B, H, W) bool.
        labels: (B,) ground-truth classes, -1 if unknown; default: all unknown.
        present: (B, C) bool, classes that each image shows, for data with several.
        class_masks: (B, C, H, W) bool, mask of each class.
        cells: (B, n * n) int64, classes of the cells of mosaics, row by row.
        backgrounds: (B,) int64, class of the background, -1 if random.
        parts: (B, H, W) uint8, part of each pixel by the numbers of `interventions`, B other versions of the images.
        group_shares: (B,) float64, fraction of the training images with the image's label and background.
        ids: B names of the images, which random numbers depend on; default: their positions.
        seed: seed of metrics that draw random numbers.
        explainer: explains other versions of the images.
        versions: explains versions that depend on no map, for all explainers of the batch at once; default: `explainer`, one by one.
        others: explains reference images of the data set.
        shared: keeps what depends on no map for all explainers of the batch; default: for this one.
        features: output of the target layer.
        explained: scores (N,) that were explained, of logits (N, C) and the places (N,) of their images in the batch; default: the logits
            of the explained classes.
        reference: colour of the reference image x' if the explainer's raw maps sum to y(x) - y(x'), `zero` if to y(x); default: no claim.
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
        versions: ExplainVersions | None = None,
        others: ExplainOthers | None = None,
        shared: Shared | None = None,
        features: Features | None = None,
        explained: Callable[[Tensor, Tensor], Tensor] | None = None,
        file_boxes: tuple[FileBoxes, ...] | None = None,
        reference: Reference | None = None,
        cells: Tensor | None = None,
        backgrounds: Tensor | None = None,
        group_shares: Tensor | None = None,
        parts: Tensor | None = None,
        interventions: tuple[Interventions, ...] | None = None,
    ) -> None:
        self.classifier, self.images, self.targets = classifier, images, targets
        self.raw, self.boxes, self.masks, self.present, self.class_masks, self.seed = raw, boxes, masks, present, class_masks, seed
        self.labels = torch.full_like(targets, -1) if labels is None else labels
        self.ids = tuple(map(str, range(len(images)))) if ids is None else tuple(ids)
        self.file_boxes, self.reference, self.cells = file_boxes, reference, cells
        self.backgrounds, self.group_shares, self.parts, self.interventions = backgrounds, group_shares, parts, interventions
        self._saliency, self._logits, self._features = saliency, logits, features
        self._explainer, self._versions, self._others, self._shared = explainer, versions, others, shared
        self._cached: dict[Hashable, Any] = {}
        self._explained, self.explains_logit = explained, explained is None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def required_masks(self) -> Tensor:
        """Masks of the object, (B, H, W) bool.

        Raises:
            NotApplicable: the images have no masks.
        """
        if self.masks is None:
            raise NotApplicable("needs ground-truth masks, which these images do not have")
        return self.masks

    @property
    def saliency(self) -> Tensor:
        """Map (B, H, W) in [0, 1].

        Raises:
            NotApplicable: there is no map (`--explainers none`).
        """
        if self._saliency is None:
            raise NotApplicable("needs a saliency map, and there is none (--explainers none)")
        return self._saliency

    @cached_property
    def is_constant(self) -> Tensor:
        """Whether the map is constant, (B,) bool, before normalisation if the raw map is known."""
        return is_constant(self.saliency if self.raw is None else self.raw)

    @cached_property
    def logits(self) -> Tensor:
        """Logits (B, C) of the original images."""
        return self.score(self.images) if self._logits is None else self._logits

    @cached_property
    def predictions(self) -> Tensor:
        """Predicted classes (B,) int64 of the original images."""
        return self.logits.argmax(1)

    @cached_property
    def log_odds(self) -> Tensor:
        """Log-odds (B,) float64 of the explained class: log p - log(1 - p)."""
        return log_odds(self.logits, self.targets)

    @property
    def activations(self) -> Tensor:
        """Output of the target layer, (B, K, h, w).

        Raises:
            NotApplicable: the layer was not captured.
        """
        return self._layer_features().activations

    @property
    def class_weights(self) -> Tensor:
        """Class weights (C, K) of a head of global average pooling and a linear layer.

        Raises:
            NotApplicable: the head is another one, or the layer was not captured.
        """
        return self._layer_features().class_weights

    def score(self, images: Tensor) -> Tensor:
        """Logits (N, C) of other images in [0, 1], without gradient."""
        with torch.no_grad():
            return in_halves(self.classifier, images)

    def objective(self, logits: Tensor, rows: Tensor) -> Tensor:
        """The explained score (N,) float64 on the CPU, of logits (N, C) of altered images and the places (N,) of these in the batch."""
        found = logits.gather(1, self.targets[rows][:, None]).squeeze(1) if self._explained is None else self._explained(logits, rows)
        return found.detach().to("cpu", torch.float64)

    def output_of(self, logits: Tensor, classes: Tensor, score: Output, rows: Tensor | None = None) -> Tensor:
        """Scores (N,) float64 on the CPU from logits (N, C): of classes (N,), or the objective of images (N,), by default of all."""
        if score != "objective":
            return class_output(logits, classes, score)
        return self.objective(logits, torch.arange(len(logits), device=logits.device) if rows is None else rows)

    def explain(self, images: Tensor, targets: Tensor | None = None, classifier: Classifier | None = None) -> SaliencyMaps:
        """Maps of the same explainer, with the same random numbers, for other versions (B, 3, H, W) of the images.

        Args:
            images: as many as the batch has, in its order.
            targets: (B,) classes to explain; default: those of the batch.
            classifier: another frozen model to explain.

        Raises:
            NotApplicable: the maps were made elsewhere.
        """
        if self._explainer is None:
            raise NotApplicable("re-runs the explainer on altered images, and there is no explainer")
        return self._explainer(images, targets, classifier)

    def explain_versions(self, key: Hashable, versions: Callable[[], Iterable[AlteredImages]], count: int) -> Iterator[SaliencyMaps]:
        """Maps of the same explainer for several versions of the batch, which depend on no map, one after another.

        All explainers of a run share the versions and their passes; each version may be changed once its maps are there.

        Args:
            key: the same for all explainers and for no other versions.
            versions: makes the versions, for as many explainers as memory allows.
            count: number of versions.

        Raises:
            NotApplicable: the maps were made elsewhere.
        """
        return self._explain_one_by_one(versions) if self._versions is None else self._versions(key, versions, count)

    def _explain_one_by_one(self, versions: Callable[[], Iterable[AlteredImages]]) -> Iterator[SaliencyMaps]:
        for version in versions():
            with copy_counted(version.classifier or self.classifier, self.classifier):
                maps = self.explain(*version)
            yield maps

    def explain_others(self, count: int, purpose: str, change: Change) -> Sequence[tuple[tuple[str, ...], SaliencyMaps]]:
        """Maps of the same explainer for altered reference images of the data set; the same for every batch, computed once.

        Args:
            count: number of images, drawn by the seed; images of the batch may be among them.
            purpose: name of the random numbers of `change`, and cache key.
            change: alters images (N, 3, H, W), with one generator each.

        Returns:
            Names and maps, in groups of one image size; each image is explained for its own class.

        Raises:
            NotApplicable: there is no data set, or it has too few readable images.
        """
        if self._others is None:
            raise NotApplicable("needs reference images of a data set, and there is no data set")
        return self._others(count, purpose, change)

    def generators(self, purpose: str) -> list[torch.Generator]:
        """CPU generators, one per image of the batch, each from (seed, image id) alone."""
        return [generator_for(self.seed, name, purpose) for name in self.ids]

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Result of `make`, computed once for all metrics of this explainer that use the same key."""
        if key not in self._cached:
            self._cached[key] = make()
        return cast("T", self._cached[key])

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """Result of `make`, which depends on no map, computed once for all explainers of the batch and all metrics."""
        return self.cached(key, make) if self._shared is None else self._shared(key, make)

    def _layer_features(self) -> Features:
        if self._features is None:
            raise NotApplicable("needs the output of a target layer, which was not captured")
        return self._features
