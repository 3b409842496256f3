"""SegmentationTask: an FCN head on the features of a classifier, frozen or trained with it, by pixel cross-entropy."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camdbench.functional.confusion_matrix import VOID
from camdbench.functional.seeding import generator_for
from camdbench.trainer.probe_recipe import ProbeRecipe
from camdbench.trainer.task import LossResult
from camdbench.trainer.tasks.segmentation_data import SegmentationBatch, SegmentationData
from camdbench.trainer.tasks.segmenter import Segmenter


class SegmentationTask:
    """A segmenter trained on images in memory; a frozen classifier stays bit for bit as it is.

    Args:
        segmenter: on the device.
        train: training images.
        recipe: batch size, flips and seed.
        device: where the segmenter is trained.
    """

    loss_name = "pixel cross-entropy"

    def __init__(self, segmenter: Segmenter, train: SegmentationData, recipe: ProbeRecipe, device: torch.device) -> None:
        self._segmenter, self._train, self._recipe, self._device = segmenter, train, recipe, device
        self.steps = len(train) // recipe.batch_size

    def parameters(self, stage: int) -> Iterable[nn.Parameter]:
        """The weights of the head, and of the classifier if it is trained too."""
        del stage
        return self._segmenter.parameters_that_learn()

    def training(self, stage: int) -> AbstractContextManager[object]:
        """Training mode of the head, and of the classifier if it is trained too."""
        del stage
        return self._segmenter.training_mode()

    def batches(self, epoch: int) -> Generator[SegmentationBatch]:
        """Shuffled and flipped by seed and epoch."""
        random = generator_for(self._recipe.seed, f"epoch {epoch}", "probe order")
        return self._train.shuffled(self._recipe.batch_size, random, self._recipe.flip)

    def loss(self, batch: SegmentationBatch, step: str) -> LossResult:
        """Pixel cross-entropy (), averaged over the pixels of the batch."""
        del step
        batch = batch.to(self._device)
        scores = self._segmenter(batch.images)
        return LossResult(pixel_loss(scores, batch.maps), {}, scores)

    def rng(self, epoch: int) -> AbstractContextManager[None]:
        """Torch's global generators, seeded by seed and epoch."""
        return seeded(self._recipe.seed, f"epoch {epoch}", self._device)

    def validate(self) -> Mapping[str, float]:
        """Nothing: the probe is evaluated once, after its last epoch."""
        return {}

    def weights(self) -> Mapping[str, Tensor]:
        """The weights that training changes, by name."""
        return self._segmenter.learned()

    def state(self) -> dict[str, Any]:
        """The weights; random draws depend on seed and epoch alone."""
        return {"learned": self._segmenter.learned()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self._segmenter.learn(state["learned"])


def pixel_loss(scores: Tensor, maps: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over the pixels of a batch that are not void; 0 if all are void.

    Args:
        scores: (B, C, H, W).
        maps: (B, H, W) class indices, 255 for void.
    """
    total = F.cross_entropy(scores, maps, ignore_index=VOID, reduction="sum")
    return total / (maps != VOID).sum().clamp(min=1)


@contextmanager
def seeded(seed: int, name: str, device: torch.device) -> Generator[None]:
    """Seed torch's global generators, for initial weights and dropout, by seed and name; their states come back after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator_for(seed, name, "probe").initial_seed())
        yield
