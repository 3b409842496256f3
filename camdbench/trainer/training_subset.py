"""What a run learns from: all images of the training split or an episode's few, under their own labels or permuted ones."""

from __future__ import annotations

from camdbench.datasets.permuted_labels import permuted
from camdbench.datasets.samples import Dataset
from camdbench.datasets.subsets import Subset, few_shot
from camdbench.trainer.recipe import Data


def select_training_images(split: Dataset, data: Data, seed: int) -> Dataset:
    """The part of the training split that a recipe trains on.

    An episode's images follow from its number and their names alone, so that every loss and every seed has the same;
    how labels are permuted, the seed decides.

    Raises:
        UsageError: a class has fewer images than there are to be shots.
    """
    if data.shots is not None:
        split = Subset(split, few_shot(split.ids, split.labels, shots=data.shots, episode=data.episode).train)
    return permuted(split, seed) if data.labels == "permuted" else split
