"""Two runs in a row: the second begins with what the first made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.each import each
from safetensors.torch import load_file

from camdbench.core.errors import UsageError
from camdbench.models.zoo import load_classifier
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.train import train

STILL = {"lr": 1e-30, "weight_decay": 0.0, "schedule": "constant"}


def recipe_of(**changes: Any):
    data = {"dataset": "shortcuts(size=32, classes=3)", "limit": 16, "evaluation": ["val"], "evaluation_limit": 4}
    return check_recipe({"name": "second", "data": data, "epochs": 1, "batch_size": 8, "pretraining": {"loss": "ce"}} | changes, "second")


def test_fields_that_are_not_given_are_the_recipes_own() -> None:
    recipe = recipe_of(
        loss="dfr", optimiser={"lr": 0.01, "max_grad_norm": 1.0}, pretraining={"loss": "corm", "optimiser": {"lr": 0.1}, "epochs": 3}
    )
    first = recipe.pretraining_recipe()
    assert first is not None
    assert (first.name, first.loss, first.epochs, first.batch_size, first.pretraining) == ("second-pretraining", "corm", 3, 8, None)
    assert (first.optimiser.lr, first.optimiser.max_grad_norm) == (0.1, 1.0)
    assert first.pretraining_recipe() is None


@pytest.mark.parametrize("surgery", [None, {}])
def test_the_second_begins_with_the_weights_of_the_first(surgery: Any, tmp_path: Path) -> None:
    """At a rate of 1e-30 in the second run its weights, running statistics apart, are those of the first."""
    recipe = recipe_of(surgery=surgery, optimiser=STILL, pretraining={"optimiser": {"lr": 1e-2}}, seed=3)
    path = train(recipe, out=tmp_path, device="cpu")
    first, second = load_file(tmp_path / "second-pretraining.safetensors"), load_file(path)
    names = dict(load_classifier(str(path), device="cpu").network.named_parameters())
    assert all(torch.allclose(first[name], second[name], atol=1e-20) for name in names)
    alone = train(recipe_of(pretraining=None, surgery=surgery, optimiser=STILL, seed=3), out=tmp_path / "alone", device="cpu")
    assert not torch.allclose(load_file(alone)["fc.weight"], second["fc.weight"])


def test_dfr_after_another_loss_changes_the_last_layer_alone(tmp_path: Path) -> None:
    path = train(
        recipe_of(loss="dfr", pretraining={"loss": "corm"}, optimiser={"lr": 0.01, "weight_decay": 0.0}), out=tmp_path, device="cpu"
    )
    first, second = load_file(tmp_path / "second-pretraining.safetensors"), load_file(path)
    assert {name for name in first if not torch.equal(first[name], second[name])} == {"fc.weight"}


def test_the_first_is_made_once_and_again_where_its_recipe_differs(tmp_path: Path) -> None:
    train(recipe_of(), out=tmp_path, device="cpu")
    made = (tmp_path / "second-pretraining.json").stat().st_mtime_ns
    train(recipe_of(epochs=2, pretraining={"epochs": 1}), out=tmp_path, device="cpu")
    assert (tmp_path / "second-pretraining.json").stat().st_mtime_ns == made
    train(recipe_of(pretraining={"loss": "ce(smoothing=0.1)"}), out=tmp_path, device="cpu")
    assert (tmp_path / "second-pretraining.json").stat().st_mtime_ns > made
    assert json.loads((tmp_path / "second-pretraining.json").read_text())["recipe"]["loss"] == "ce(smoothing=0.1)"


def test_a_damaged_record_of_the_first_is_no_record(tmp_path: Path) -> None:
    train(recipe_of(), out=tmp_path, device="cpu")
    (tmp_path / "second-pretraining.json").write_text("{")
    train(recipe_of(), out=tmp_path, device="cpu")
    assert json.loads((tmp_path / "second-pretraining.json").read_text())["name"] == "second-pretraining"


def test_provenance_tells_of_the_first(tmp_path: Path) -> None:
    facts = json.loads(train(recipe_of(), out=tmp_path, device="cpu").with_suffix(".json").read_text())
    assert facts["recipe"]["pretraining"] == {"loss": "ce"}
    assert check_recipe(facts["recipe"], "again") == recipe_of()


@each(
    ("after", "words"),
    [
        ({"losses": "ce"}, "recipe second, pretraining: losses: no such field; did you mean 'loss'?"),
        ({"loss": "cee"}, "recipe second, pretraining: no loss 'cee'"),
        ({"name": "second"}, "pretraining: the first run needs another name"),
        ({"network": "resnet18"}, "and the same network"),
        ({"epochs": 0}, "pretraining: epochs=0"),
    ],
)
def test_a_mistake_in_the_first_is_told_before_any_work(after: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_of(pretraining=after)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
