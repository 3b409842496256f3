"""Networks that differ in their seed alone are known as such from the records of their runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.provenance import training_of
from camdbench.tables.seed_variance import seed_spread
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.train import train

DATA = {"dataset": "shortcuts(size=32)", "train": "train", "limit": 32, "evaluation": ["val"], "evaluation_limit": 8}
TINY = {"network": "shortcuts", "data": DATA, "loss": "ce", "epochs": 1, "batch_size": 16, "seed": 0}
RUN = {"explainers": "gradcam", "metrics": "ad", "dataset": "shortcuts(size=32)", "limit": 6, "device": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One recipe under two seeds, one of them under another name, and another recipe."""
    out = tmp_path_factory.mktemp("trained")
    recipes = [TINY | {"name": "first"}, TINY | {"name": "second"}, TINY | {"name": "longer", "epochs": 2}]
    plans = [(check_recipe(fields, str(fields["name"])), seed) for seed, fields in enumerate(recipes)]
    return [train(plan, out=out, seed=seed, device="cpu") for plan, seed in plans]


def test_the_recipe_without_name_and_seed_is_what_siblings_share(trained: list[Path]):
    first, second, longer = (training_of(str(path))["training"] for path in trained)
    assert first["recipe"] == second["recipe"] != longer["recipe"]
    assert (first["seed"], second["seed"]) == (0, 1)


def test_other_data_make_another_training(trained: list[Path], tmp_path: Path):
    copy = tmp_path / trained[0].name
    shutil.copy(trained[0], copy)
    facts = json.loads(trained[0].with_suffix(".json").read_text())
    facts["fingerprints"]["train"] = "0" * 16
    copy.with_suffix(".json").write_text(json.dumps(facts))
    assert training_of(str(copy))["training"]["recipe"] != training_of(str(trained[0]))["training"]["recipe"]


def test_of_other_networks_nothing_is_known(tmp_path: Path):
    assert training_of("shortcuts-ce") == training_of("resnet50") == training_of(str(tmp_path / "gone.safetensors")) == {}


def test_a_run_of_siblings_shows_the_spread_over_their_seeds(trained: list[Path], tmp_path: Path):
    camdbench.run(models=[str(path) for path in trained], out=tmp_path / "run", **RUN)
    found = seed_spread(tmp_path / "run")
    assert found[["network", "explainer", "metric", "seeds", "n"]].to_numpy().tolist() == [["first", "gradcam", "ad", 2, 6]]


def test_two_checkpoints_of_one_name_do_not_write_over_each_other(trained: list[Path], tmp_path: Path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(trained[1].with_suffix(suffix), tmp_path / f"first{suffix}")
    other = tmp_path / "first.safetensors"
    with pytest.raises(UsageError, match=r"both are named first in rows; use a separate --out for each"):
        camdbench.run(models=[str(trained[0]), str(other)], out=tmp_path / "run", **RUN)
    assert not (tmp_path / "run").exists()
    for path, folder in ((trained[0], "a"), (other, "b")):
        camdbench.run(models=str(path), out=tmp_path / folder, **RUN)
    assert set(seed_spread([tmp_path / "a", tmp_path / "b"])["seeds"]) == {2}
