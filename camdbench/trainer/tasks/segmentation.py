"""SegmentationTask: an FCN head on the features of a classifier, frozen or trained with it, by pixel cross-entropy."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.functional.confusion_matrix import VOID
from camdbench.functional.seeding import generator_for
from camdbench.trainer.augmentation import flip
from camdbench.trainer.probe_recipe import ProbeRecipe
from camdbench.trainer.split_data import Split
from camdbench.trainer.task import LossResult
from camdbench.trainer.tasks.segmenter import Segmenter


class SegmentationTask:
    """Training of a segmenter; a frozen classifier stays bit for bit unchanged.

    Args:
        segmenter: on the device.
        train: training images with class maps as masks.
        recipe: batch size, flips and seed.
        device: device of training.
    """

    loss_name = "pixel cross-entropy"

    def __init__(self, segmenter: Segmenter, train: Split, recipe: ProbeRecipe, device: torch.device) -> None:
        self._segmenter, self._train, self._recipe, self._device = segmenter, train, recipe, device
        self.steps = len(train) // recipe.batch_size

    def parameters(self, stage: int) -> Iterable[nn.Parameter]:
        """The weights of the head, and of the classifier if it is trained too."""
        del stage
        return self._segmenter.trained_parameters()

    def training(self, stage: int) -> AbstractContextManager[object]:
        """Training mode of the head, and of the classifier if it is trained too."""
        del stage
        return self._segmenter.training_mode()

    def batches(self, epoch: int) -> Generator[Batch]:
        """Shuffled and flipped by seed and epoch; `labels` are (B, H, W) class maps with -1 for void."""
        size, count = self._recipe.batch_size, len(self._train)
        random = generator_for(self._recipe.seed, f"epoch {epoch}", "probe order")
        order, drawn = torch.randperm(count, generator=random), torch.rand(count, generator=random)
        groups = order[: count // size * size].split(size)
        for group, batch in zip(groups, self._train.take(groups), strict=True):
            flipped = flip(batch, drawn[group] < self._recipe.flip)
            maps = class_maps(flipped)
            yield replace(flipped, labels=maps.where(maps != VOID, -1))

    def loss(self, batch: Batch, step: str) -> LossResult:
        """Pixel cross-entropy (), averaged over the pixels of the batch."""
        del step
        batch = batch.to(self._device)
        scores = self._segmenter(batch.images)
        return LossResult(pixel_loss(scores, class_maps(batch)), {}, scores)

    def rng(self, epoch: int) -> AbstractContextManager[None]:
        """Torch's global generators, seeded by seed and epoch."""
        return seeded(self._recipe.seed, f"epoch {epoch}", self._device)

    def validate(self) -> Mapping[str, float]:
        """Empty: the probe is evaluated once, after its last epoch."""
        return {}

    def weights(self) -> Mapping[str, Tensor]:
        """The weights that training changes, by name."""
        return self._segmenter.trained_state()

    def state(self) -> dict[str, Any]:
        """The weights; random draws depend on seed and epoch alone."""
        return {"learned": self._segmenter.trained_state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self._segmenter.load_trained_state(state["learned"])


def class_maps(batch: Batch) -> Tensor:
    """The class maps (B, H, W) int64 of a batch: 0 background, class plus one, 255 void."""
    assert batch.masks is not None
    return batch.masks.long()


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
    """Seed torch's global generators, for initial weights and dropout, by seed and name; restore them after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator_for(seed, name, "probe").initial_seed())
        yield
