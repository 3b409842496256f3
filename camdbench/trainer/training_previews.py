"""A few maps of the network on its way: before it learns, after every epoch, and at the end beside those before."""

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
    """Maps, and what is to be said of each.

    Attributes:
        maps: (N, H, W) in [0, 1].
        captions: N texts: the probability of the label, and how much of the map lies on the object.
    """

    maps: Tensor
    captions: tuple[str, ...]


class Preview(NamedTuple):
    """Images with their maps.

    Attributes:
        run: name of the recipe.
        name: `epoch-001`, …, or `before-after`.
        epoch: after which it was taken.
        images: (N, 3, H, W) in [0, 1].
        masks: (N, H, W) bool, or None.
        titles: N names of classes.
        seen: what was seen, under a heading each.
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
        classifier: the network as it is before it learns.
        select: where the images come from: its first ones.
        recipe: the map is that of its loss's `cam`, or Grad-CAM, for the class of the label.
        count: how many images.
        show: called with every preview.
    """

    def __init__(self, classifier: Classifier, select: Split, recipe: TrainingRecipe, count: int, show: Callable[[Preview], None]) -> None:
        with closing(select.batches(count)) as batches:
            self._batch = next(batches)
        self._classifier, self._recipe, self._show = classifier, recipe, show
        self._cam = cam_of(recipe)
        self._titles = tuple(select.classes[label] if label >= 0 else "?" for label in self._batch.labels.tolist())
        self._before = self._look()

    @classmethod
    def of(
        cls, classifier: Classifier, select: Split, recipe: TrainingRecipe, count: int, show: Callable[[Preview], None]
    ) -> PreviewRecorder | None:
        """A recorder, or None, with a warning, if the explainer is not defined for the network."""
        try:
            return cls(classifier, select, recipe, count, show)
        except NotApplicable as reason:
            warnings.warn(f"no previews: {reason}", CamdbenchWarning, stacklevel=2)
            return None

    def after(self, epoch: int) -> None:
        """Show the maps after an epoch."""
        self._paint(f"epoch-{epoch:03}", epoch, {str(self._cam): self._look()})

    def end(self, epoch: int) -> None:
        """Show the maps before the first epoch and those of the weights that are kept, which are that epoch's."""
        self._paint("before-after", epoch, {"before": self._before, f"after epoch {epoch}": self._look()})

    def _paint(self, name: str, epoch: int, seen: Mapping[str, PreviewState]) -> None:
        batch = self._batch
        self._show(Preview(self._recipe.name, name, epoch, batch.images, batch.masks, self._titles, seen))

    def _look(self) -> PreviewState:
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
    """The explainer whose maps a recipe's loss guides, or Grad-CAM.

    >>> str(cam_of(TrainingRecipe(name="mine", loss="so(cam='layercam')")))
    'layercam'
    >>> str(cam_of(TrainingRecipe(name="mine", loss="ce")))
    'gradcam'
    """
    spec = losses.parse_one(recipe.loss)
    usual = {option.name: option.default for option in losses.get(spec.name).options}
    return parse_spec(str(spec.arguments.get("cam", usual.get("cam", "gradcam"))))
