"""Fields of recipes: defaults, changes, and the first mistake named with its place."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.trainer.recipe_fields import BaseRecipe, Optimiser, Stage, check_fields, with_changes


def test_lists_of_a_file_become_tuples_and_the_rest_has_defaults() -> None:
    found = check_fields(BaseRecipe, {"name": "mine", "data": {"evaluation": ["val", "test"]}, "optimiser": {"milestones": [0.5]}}, "here")
    assert found.data.evaluation == ("val", "test")
    assert found.optimiser.milestones == (0.5,)
    assert found.stages == (Stage(12, found.optimiser),)
    assert (found.keeps_best, found.micro_batches, found.mixed_precision) == (False, 1, "no")
    assert BaseRecipe(name="mine").optimiser == Optimiser()


def test_changes_make_a_new_recipe_and_are_checked() -> None:
    recipe = BaseRecipe(name="mine", epochs=3)
    assert with_changes(recipe, epochs=None, seed=None) is recipe
    assert with_changes(recipe, epochs=5, seed=None) == BaseRecipe(name="mine", epochs=5)
    assert recipe.epochs == 3
    with pytest.raises(UsageError, match="recipe mine: seed=-1"):
        with_changes(recipe, seed=-1)


@each(
    ("fields", "words"),
    [
        ({}, "recipe here: name: missing"),
        ({"nam": "mine"}, "recipe here: nam: no such field; did you mean 'name'?"),  # before the missing name
        ({"name": "mine", "optimiser": {"lrr": 0.1}}, "optimiser.lrr: no such field; did you mean 'lr'?"),
        ({"name": "mine", "optimiser": {"lr": 0}}, "optimiser.lr=0: "),
        ({"name": "mine", "optimiser": {"name": "adagrad"}}, "optimiser.name='adagrad': "),
        ({"name": "Mine!"}, "name='Mine!': "),
        ({"name": "mine", "epochs": "3"}, "epochs='3': "),
        ({"name": "mine", "epochs": True}, "epochs=True: "),
        ({"name": "mine", "batch_size": 1}, "batch_size=1: "),
        ({"name": "mine", "data": {"evaluation": []}}, "data.evaluation=[]: "),
        ({"name": "mine", "data": {"dataset": "shortcuts(split='val')"}}, "split and count have separate fields"),
        ({"name": "mine", "data": {"dataset": "shortcutz"}}, "shortcutz"),
    ],
)
def test_the_first_mistake_is_named_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_fields(BaseRecipe, fields, "here")
    assert words in str(caught.value)
    assert str(caught.value).startswith("recipe here: ")
    assert "\n" not in str(caught.value)


def test_a_recipe_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BaseRecipe(name="mine").epochs = 2
