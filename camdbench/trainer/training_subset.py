"""Training images of a run: all or few per class, with original or permuted labels."""

from __future__ import annotations

from camdbench.datasets.permuted_labels import permuted
from camdbench.datasets.samples import Dataset
from camdbench.datasets.subsets import Subset, few_shot
from camdbench.trainer.recipe import Data


def select_training_images(split: Dataset, data: Data, seed: int) -> Dataset:
    """The training images of a recipe; few-shot images depend on episode and ids alone, permuted labels on the seed.

    Raises:
        UsageError: a class has fewer images than `shots`.
    """
    if data.shots is not None:
        split = Subset(split, few_shot(split.ids, split.labels, shots=data.shots, episode=data.episode).train)
    return permuted(split, seed) if data.labels == "permuted" else split
