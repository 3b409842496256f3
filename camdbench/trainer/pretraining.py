"""Chains: a run that begins with the network that another one made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from camdbench.core.errors import CamdbenchError
from camdbench.trainer.recipe import TrainingRecipe, check_recipe


def pretrain(recipe: TrainingRecipe, out: Path, train: Callable[[TrainingRecipe], Path]) -> Path | None:
    """The checkpoint that a recipe begins with where it has a `pretraining`: the one that is there already, or the one that is trained now.

    One that is there is taken if it was made by the very same recipe; another of its name is replaced.
    """
    first = recipe.first()
    if first is None:
        return None
    path = out / f"{first.name}.safetensors"
    return path if path.is_file() and _made_by(path.with_suffix(".json"), first) else train(first)


def _made_by(facts: Path, recipe: TrainingRecipe) -> bool:
    try:
        return check_recipe(json.loads(facts.read_text(encoding="utf-8"))["recipe"], str(facts)) == recipe
    except (OSError, ValueError, LookupError, TypeError, CamdbenchError):  # it says nothing of a recipe that is known
        return False
