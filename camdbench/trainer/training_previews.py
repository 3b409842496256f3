"""Previews: saliency maps of a few images during training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from torch import Tensor

from camdbench.core.errors import CamdbenchWarning, NotApplicable
from camdbench.core.registries import losses
from camdbench.core.spec import Spec, parse_spec
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.functional.soft_overlap import energy_inside
from camdbench.models.classifier import Classifier
from camdbench.trainer.recipe import TrainingRecipe
from camdbench.trainer.split_data import Split


class PreviewState(NamedTuple):
    """Saliency maps with captions.

    Attributes:
        maps: (N, H, W) in [0, 1].
        captions: N texts: probability of the label, and fraction of the map's energy on the object.
    """

    maps: Tensor
    captions: tuple[str, ...]


class Preview(NamedTuple):
    """Images with saliency maps at one or several times of training.

    Attributes:
        run: name of the recipe.
        name: `epoch-001`, …, or `before-after`.
        epoch: number of complete epochs.
        images: (N, 3, H, W) in [0, 1].
        masks: (N, H, W) bool, or None.
        titles: N names of classes.
        seen: maps by heading.
    """

    run: str
    name: str
    epoch: int
    images: Tensor
    masks: Tensor | None
    titles: tuple[str, ...]
    seen: Mapping[str, PreviewState]


class PreviewRecorder:
    """Records saliency maps of the same few images during training; the network is left unchanged.

    Args:
        classifier: the network before training.
        images: split whose first images are shown.
        recipe: its loss's `cam`, or Grad-CAM, explains the label.
        count: number of images.
        on_preview: called with every preview.
    """

    def __init__(
        self, classifier: Classifier, images: Split, recipe: TrainingRecipe, count: int, on_preview: Callable[[Preview], None]
    ) -> None:
        with closing(images.batches(count)) as batches:
            self._batch = next(batches)
        self._classifier, self._recipe, self._on_preview = classifier, recipe, on_preview
        self._cam = cam_of(recipe)
        self._titles = tuple(images.classes[label] if label >= 0 else "?" for label in self._batch.labels.tolist())
        self._before = self._explain()

    @classmethod
    def of(
        cls, classifier: Classifier, images: Split, recipe: TrainingRecipe, count: int, on_preview: Callable[[Preview], None]
    ) -> PreviewRecorder | None:
        """A recorder; None, with a warning, if the explainer is not defined for the network."""
        try:
            return cls(classifier, images, recipe, count, on_preview)
        except NotApplicable as reason:
            warnings.warn(f"no previews: {reason}", CamdbenchWarning, stacklevel=2)
            return None

    def after(self, epoch: int) -> None:
        """Report the maps after an epoch."""
        self._report(f"epoch-{epoch:03}", epoch, {str(self._cam): self._explain()})

    def end(self, epoch: int) -> None:
        """Report the maps before training and those of the kept weights, which come from `epoch`."""
        self._report("before-after", epoch, {"before": self._before, f"after epoch {epoch}": self._explain()})

    def _report(self, name: str, epoch: int, seen: Mapping[str, PreviewState]) -> None:
        batch = self._batch
        self._on_preview(Preview(self._recipe.name, name, epoch, batch.images, batch.masks, self._titles, seen))

    def _explain(self) -> PreviewState:
        batch = self._batch.to(self._classifier.device)
        with self._classifier.frozen():
            trace = Trace(self._classifier, batch, target="label" if bool((batch.labels >= 0).all()) else "predicted")
            maps = saliency(trace, self._cam).maps.nan_to_num(0.0)
            chosen = trace.logits.double().softmax(1).gather(1, trace.targets[:, None])[:, 0].tolist()
        if batch.masks is None:
            return PreviewState(maps.cpu(), tuple(f"p {chance:.2f}" for chance in chosen))
        inside = energy_inside(maps, batch.masks).tolist()
        return PreviewState(
            maps.cpu(), tuple(f"p {chance:.2f}, {100 * share:.0f} % on the object" for chance, share in zip(chosen, inside))
        )


def cam_of(recipe: TrainingRecipe) -> Spec:
    """The explainer of a recipe's loss (its option `cam`), else Grad-CAM.

    >>> str(cam_of(TrainingRecipe(name="mine", loss="so(cam='layercam')")))
    'layercam'
    >>> str(cam_of(TrainingRecipe(name="mine", loss="ce")))
    'gradcam'
    """
    spec = losses.parse_one(recipe.loss)
    usual = {option.name: option.default for option in losses.get(spec.name).options}
    return parse_spec(str(spec.arguments.get("cam", usual.get("cam", "gradcam"))))
