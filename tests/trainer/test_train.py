"""train: a tiny recipe from end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import killed
from helpers.dataset_layouts import pets
from helpers.live_tensors import live_tensors, without_collection
from safetensors.torch import load_file

from camdbench.core.errors import UsageError
from camdbench.models.shortcuts_net import LAYER, shortcuts_network
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.train import train
from camdbench.trainer.training_previews import Preview


@pytest.fixture
def tiny() -> TrainingRecipe:
    data: dict[str, Any] = {
        "dataset": "shortcuts(size=32, classes=3)",
        "limit": 24,
        "evaluation": ["val", "conflict"],
        "evaluation_limit": 8,
    }
    return check_recipe({"name": "tiny", "data": data, "epochs": 2, "batch_size": 8, "augment": {"flip": 0.5}}, "tiny")


def test_it_writes_weights_provenance_and_log(tiny: TrainingRecipe, tmp_path: Path) -> None:
    seen: list[object] = []
    path = train(tiny, out=tmp_path / "out", device="cpu", progress=seen.append)
    assert path == tmp_path / "out" / "tiny.safetensors"
    shortcuts_network(3).load_state_dict(load_file(path))
    facts = json.loads(path.with_suffix(".json").read_text())
    assert (facts["name"], facts["seed"], facts["epoch"], facts["layer"], facts["input_size"]) == ("tiny", 0, 2, LAYER, 32)
    assert facts["classes"] == ["disc", "triangle", "square"]
    assert set(facts["metrics"]) == {"val", "conflict"}
    assert facts["metrics"]["val"]["count"] == 8
    assert check_recipe(facts["recipe"], "again") == tiny
    with path.with_suffix(".csv").open() as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["1", "2"]
    assert len(seen) == 2


def test_the_same_seed_yields_the_same_weights(tiny: TrainingRecipe, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = load_file(train(tiny, out=tmp_path / "a", device="cpu"))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    again = load_file(train(tiny, out=tmp_path / "b", device="cpu"))
    other = load_file(train(tiny, out=tmp_path / "c", device="cpu", seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_that_was_cut_short_goes_on_as_if_it_had_not_been(tiny: TrainingRecipe, tmp_path: Path, keep: str) -> None:
    recipe = check_recipe(tiny.model_dump() | {"epochs": 3, "keep": keep}, "tiny")
    whole = train(recipe, out=tmp_path / "whole", device="cpu")

    def stop(line: Epoch) -> None:
        if line.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=tmp_path / "cut", device="cpu", progress=stop)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["tiny.resume"]
    seen: list[Epoch] = []
    cut = train(recipe, out=tmp_path / "cut", device="cpu", progress=seen.append)
    assert [line.epoch for line in seen] == [3]
    first, second = load_file(whole), load_file(cut)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert whole.with_suffix(".csv").read_text() == cut.with_suffix(".csv").read_text()
    assert {path.suffix for path in (tmp_path / "cut").iterdir()} == {".safetensors", ".json", ".csv"}


def test_a_training_killed_before_any_step_on_the_disk_ends_with_the_weights_of_one_that_was_not(
    tiny: TrainingRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    other = load_file(train(tiny, out=out, device="cpu", seed=1))
    seen = list[str]()

    def show(preview: Preview) -> None:
        seen.append(preview.name)

    with killed.photographed(out, tmp_path / "killed") as copies:
        whole = load_file(train(tiny, out=out, device="cpu", preview_images=1, on_preview=show))
    assert seen == ["epoch-001", "epoch-002", "before-after"]
    assert len(copies) == 2 + 1 + 3 + 1  # the state of two epochs, the old weights, three files, and the state makes way
    for copy in copies:
        path = copy / "tiny.safetensors"
        if path.exists():  # weights beside facts are never those of another seed
            of_seed = [other, whole][not json.loads((copy / "tiny.json").read_text())["seed"]]
            assert all(torch.equal(of_seed[name], found) for name, found in load_file(path).items())
        seen.clear()
        train(tiny, out=copy, device="cpu", preview_images=1, on_preview=show)
        assert seen[-2:] == ["epoch-002", "before-after"]  # shown again, as the kill may have come before
        assert all(torch.equal(whole[name], found) for name, found in load_file(path).items())
        assert (copy / "tiny.csv").read_text() == (out / "tiny.csv").read_text()
        assert json.loads((copy / "tiny.json").read_text()) | {"date": ""} == json.loads((out / "tiny.json").read_text()) | {"date": ""}
        assert sorted(file.suffix for file in copy.glob("[!.]*")) == [".csv", ".json", ".safetensors"]


def test_another_recipe_begins_anew(tiny: TrainingRecipe, tmp_path: Path) -> None:
    def stop(_line: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny, out=tmp_path, device="cpu", progress=stop)
    seen: list[Epoch] = []
    train(tiny, out=tmp_path, device="cpu", seed=1, progress=seen.append)
    assert [line.epoch for line in seen] == [1, 2]


def test_a_damaged_half_run_begins_anew(tiny: TrainingRecipe, tmp_path: Path) -> None:
    (tmp_path / "tiny.resume").write_bytes(b"PK nonsense")
    seen: list[Epoch] = []
    train(tiny, out=tmp_path, device="cpu", progress=seen.append)
    assert [line.epoch for line in seen] == [1, 2]


def test_epochs_and_seed_are_overridden_and_recorded(tiny: TrainingRecipe, tmp_path: Path) -> None:
    path = train(tiny, out=tmp_path, device="cpu", epochs=1, seed=3)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert (facts["recipe"]["epochs"], facts["recipe"]["seed"], facts["seed"]) == (1, 3, 3)


def test_a_recipe_may_be_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    data = "{dataset: shortcuts(size=32), limit: 8, evaluation_limit: 2}"
    path.write_text(f"{{name: mine, data: {data}, epochs: 1, batch_size: 8}}", encoding="utf-8")
    assert train(path, out=tmp_path, device="cpu").name == "mine.safetensors"


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"epochs": 0}, "epochs=0"), ({"seed": -1}, "seed=-1"), ({"device": "gpu"}, "--device gpu")],
)
def test_a_bad_argument_is_refused_before_any_work(tiny: TrainingRecipe, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"device": "cpu"} | changes
    with pytest.raises(UsageError, match=words):
        train(tiny, out=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_no_evaluation_on_training_images(tiny: TrainingRecipe, tmp_path: Path) -> None:
    written = tiny.model_dump()
    written["data"]["evaluation"] = ("train",)
    with pytest.raises(UsageError, match=r"data\.train=train: a network is not evaluated on its training split"):
        train(check_recipe(written, "tiny"), out=tmp_path, device="cpu")


def test_a_data_set_on_disk_is_trained_on(tmp_path: Path) -> None:
    pets(tmp_path / "data")
    fields = {
        "name": "tiny",
        "data": {"dataset": "pets(size=32)", "train": "trainval", "evaluation": ["test"]},
        "loss": "so(kernel=3, views=1)",
    }
    plan = check_recipe(fields | {"validation": "test", "epochs": 1, "batch_size": 2}, "tiny")
    path = train(plan, out=tmp_path, device="cpu", data_root=tmp_path / "data")
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["classes"] == ["Abyssinian", "American Bulldog"]
    assert facts["metrics"]["test"]["count"] > 0
    with pytest.raises(UsageError, match="data set pets is read from disk; set --data-root DIR"):
        train(plan, out=tmp_path, device="cpu")


@pytest.mark.parametrize(("loss", "in_memory"), [("ce", True), ("so", False), ("cgc", True), ("cfce", False)])
def test_epochs_leave_no_tensor_behind(tiny: TrainingRecipe, tmp_path: Path, loss: str, in_memory: bool) -> None:
    """Also without a search for cycles, and with what a step or an epoch keeps for the next."""
    changes = {"loss": loss, "epochs": 4, "data": {**tiny.data.model_dump(), "in_memory": in_memory, "limit": 16}}
    found = list[tuple[int, int]]()
    with without_collection():
        train(
            check_recipe(tiny.model_dump() | changes, "tiny"), out=tmp_path, device="cpu", progress=lambda _: found.append(live_tensors())
        )
    assert found[2:] == [found[1]] * 2
