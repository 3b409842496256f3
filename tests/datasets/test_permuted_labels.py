"""Permuted labels: as many of each as before, by the seed, and nothing else of a sample changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from sklearn.metrics import normalized_mutual_info_score

from camdbench.datasets.permuted_labels import permuted
from camdbench.datasets.shortcuts.dataset import shortcuts


def test_each_label_occurs_as_often_as_before_and_says_nothing_any_more() -> None:
    data = shortcuts(split="train", count=2000, size=32)
    found = permuted(data, 0)
    assert Counter(found.labels) == Counter(data.labels)
    assert normalized_mutual_info_score(data.labels, found.labels) < 0.02
    same = np.mean(np.array(data.labels) == np.array(found.labels))
    assert abs(same - 1 / 8) < 4 * np.sqrt(1 / 8 * 7 / 8 / 2000)


def test_the_seed_decides() -> None:
    data = shortcuts(split="train", count=64, size=32)
    one, again, other = (permuted(data, seed) for seed in (1, 1, 2))
    assert list(one.labels) == list(again.labels) != list(other.labels)
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert data.fingerprint() not in (one.fingerprint(), other.fingerprint())


def test_image_and_mask_stay_with_their_name() -> None:
    data = shortcuts(split="train", count=8, size=32)
    found = permuted(data, 3)
    assert list(found.ids) == list(data.ids)
    assert list(found.classes) == list(data.classes)
    for index in range(8):
        old, new = data[index], found[index]
        assert torch.equal(old.image, new.image)
        assert new.mask is not None
        assert torch.equal(old.mask, new.mask)
        assert (new.id, new.label) == (old.id, found.labels[index])
