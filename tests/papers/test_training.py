"""Networks that a recipe trains first: names follow whatever decides the weights; embedded ones stand in for the same loss only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.each import each

from camdbench.papers.training import Training

FIELDS: dict[str, Any] = {"network": "resnet18", "data": {"dataset": "pets(core='13')", "train": "trainval"}, "loss": "cfce(weight=2.0)"}


def test_the_name_has_paper_network_data_set_loss_and_seed() -> None:
    name = Training.of("cfce", FIELDS, 3).name
    assert name.startswith("cfce-resnet18-pets-cfce-")
    assert name.endswith("-s3")


@pytest.mark.parametrize("change", [{"loss": "cfce(weight=3.0)"}, {"epochs": 2}, {"data": FIELDS["data"] | {"labelled": 0.5}}])
def test_the_name_follows_every_field(change: dict[str, Any]) -> None:
    first = Training.of("cfce", FIELDS, 0)
    assert Training.of("cfce", dict(reversed(FIELDS.items())), 0) == first
    assert Training.of("cfce", FIELDS | {"name": "ignored"}, 0) == first
    assert Training.of("cfce", FIELDS | change, 0).name != first.name


def test_the_seed_is_the_episode_of_few_shots() -> None:
    few = FIELDS | {"data": FIELDS["data"] | {"shots": 5}}
    assert Training.of("cgc", few, 7).fields["data"]["episode"] == 7
    assert "episode" not in Training.of("cgc", FIELDS, 7).fields["data"]


def test_a_first_run_has_the_name_of_that_training_alone() -> None:
    both = FIELDS | {"pretraining": {"loss": "ce"}}
    assert Training.of("cfce", both, 1).fields["pretraining"]["name"] == Training.of("cfce", FIELDS | {"loss": "ce"}, 1).name


@each(
    ("fields", "name"),
    [
        ({"loss": "ce"}, "shortcuts-ce"),
        ({"loss": "ce(smoothing=0.1)"}, "shortcuts-ce"),
        ({"loss": "ce", "surgery": {"stride": "one"}}, None),
        ({"loss": "ce", "pretraining": {"loss": "ce"}}, None),
        ({"loss": "ce", "data": {"shots": 5}}, None),
        ({"loss": "rrr"}, None),
    ],
)
def test_an_embedded_network_stands_in_for_its_own_loss_only(fields: dict[str, Any], name: str | None) -> None:
    assert Training.of("x", fields, 0).stand_in() == name


def test_it_is_written_as_a_recipe_under_its_name(tmp_path: Path) -> None:
    training = Training.of("cfce", FIELDS, 0)
    file = training.write(tmp_path / "recipes")
    assert file == tmp_path / "recipes" / f"{training.name}.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == training.fields
