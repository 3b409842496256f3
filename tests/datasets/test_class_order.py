"""Class indices of a data set in a network's order."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch

from camdbench.core.errors import UsageError
from camdbench.datasets.class_order import InNetworkOrder, order_by_names
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.datasets.samples import Sample


class MultiLabel(InMemoryDataset):
    """Two classes present, with one mask per class."""

    classes = ("a", "b", "c")

    def __getitem__(self, index: int) -> Sample:
        own = super().__getitem__(index)
        masks = torch.zeros(3, *own.image.shape[1:], dtype=torch.bool)
        masks[2, 0] = True
        return Sample(own.id, own.image, 2, present=torch.tensor([True, False, True]), class_masks=masks, background=0)


def test_labels_present_classes_and_their_masks_move_together():
    data = MultiLabel(toy_batch(2))
    data.labels = (2, -1)
    own = InNetworkOrder(data, (3, -1, 0), ("c", "x", "y", "a"))
    assert own.labels == [0, -1]
    sample = own[0]
    assert (sample.label, sample.background, sample.present.tolist()) == (0, 3, [True, False, False, True])
    assert sample.class_masks.any((1, 2)).tolist() == [True, False, False, False]
    assert own.fingerprint() != InNetworkOrder(data, (3, 1, 0), own.classes).fingerprint()


def test_names_are_compared_without_case_blanks_and_underscores():
    assert order_by_names(["Tabby_cat", "dog"], ["fox", "DOG", "tabby  cat"]) == (2, 1)
    assert order_by_names(["wolf", "dog"], ["fox", "dog"], required=False) == (-1, 1)
    with pytest.raises(UsageError, match=r"1 class name of the data is not among the network's 2 \(first: 'wolf'\)"):
        order_by_names(["wolf", "dog"], ["fox", "dog"])
    with pytest.raises(UsageError, match="two classes of the data have one name"):
        order_by_names(["Dog", "dog"], ["fox", "dog"])
