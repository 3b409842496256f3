"""Few shots and permuted labels: what a run learns from, and that its provenance says so."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camdbench.core.errors import UsageError
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.trainer.in_memory_split import select_training_images
from camdbench.trainer.recipe import Data, check_recipe
from camdbench.trainer.train import train

SPLIT = shortcuts(split="train", count=120, size=32)


def ids(seed: int = 0, **data: Any) -> list[str]:
    return list(select_training_images(SPLIT, Data(**data), seed).ids)


def test_so_many_of_each_class() -> None:
    found = select_training_images(SPLIT, Data(shots=5), 0)
    assert Counter(found.labels) == dict.fromkeys(range(8), 5)
    assert dict(zip(SPLIT.ids, SPLIT.labels, strict=True)).items() >= dict(zip(found.ids, found.labels, strict=True)).items()


def test_an_episode_is_the_same_for_every_seed_and_others_differ() -> None:
    assert ids(0, shots=3, episode=2) == ids(7, shots=3, episode=2)
    assert len({tuple(ids(shots=3, episode=episode)) for episode in range(20)}) == 20
    assert set(ids(shots=1, episode=4)) < set(ids(shots=3, episode=4))


def test_all_images_under_their_own_labels_unless_something_is_said() -> None:
    assert select_training_images(SPLIT, Data(), 0) is SPLIT


def test_permuted_labels_go_with_the_seed_and_are_those_of_the_shots() -> None:
    first, second = (select_training_images(SPLIT, Data(shots=4, labels="permuted"), seed) for seed in (0, 1))
    assert list(first.ids) == list(second.ids)
    assert list(first.labels) != list(second.labels)
    assert Counter(first.labels) == Counter(second.labels) == dict.fromkeys(range(8), 4)


def test_more_shots_than_there_are_images_are_refused() -> None:
    with pytest.raises(UsageError, match="shots=100: class 0 has 15 images"):
        select_training_images(SPLIT, Data(shots=100), 0)


def recipe(**data: Any):
    given = {"dataset": "shortcuts(size=32, classes=3)", "limit": 24, "evaluation_limit": 4} | data
    return check_recipe({"name": "few", "data": given, "epochs": 1, "batch_size": 6}, "few")


def facts(folder: Path, **data: Any) -> dict[str, Any]:
    return json.loads(train(recipe(**data), out=folder, device="cpu").with_suffix(".json").read_text())


def test_a_run_says_what_it_learned_from(tmp_path: Path) -> None:
    plain = facts(tmp_path / "a")
    few = facts(tmp_path / "b", shots=2, episode=3)
    dealt = facts(tmp_path / "c", labels="permuted")
    assert plain["learned_from"] == {"images": 24, "labelled_fraction": 1.0, "shots": None, "episode": 0, "labels": "original"}
    assert few["learned_from"] == {"images": 6, "labelled_fraction": 1.0, "shots": 2, "episode": 3, "labels": "original"}
    assert dealt["learned_from"]["labels"] == dealt["recipe"]["data"]["labels"] == "permuted"
    assert dealt["fingerprints"]["val"] == plain["fingerprints"]["val"]
    assert dealt["fingerprints"]["train"] != plain["fingerprints"]["train"]


def test_fewer_images_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch_size=6 exceeds the 3 training images"):
        train(recipe(shots=1), out=tmp_path, device="cpu")
