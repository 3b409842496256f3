"""Pretraining: a run whose network another run starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from camdbench.core.errors import CamdbenchError
from camdbench.trainer.recipe import TrainingRecipe, check_recipe


def pretrain(recipe: TrainingRecipe, out: Path, train: Callable[[TrainingRecipe], Path]) -> Path | None:
    """The checkpoint of a recipe's `pretraining`, existing or trained now; None without one.

    An existing checkpoint is reused if its recipe is identical; another one of its name is replaced.
    """
    first = recipe.pretraining_recipe()
    if first is None:
        return None
    path = out / f"{first.name}.safetensors"
    return path if path.is_file() and _made_by(path.with_suffix(".json"), first) else train(first)


def _made_by(facts: Path, recipe: TrainingRecipe) -> bool:
    try:
        return check_recipe(json.loads(facts.read_text(encoding="utf-8"))["recipe"], str(facts)) == recipe
    except (OSError, ValueError, LookupError, TypeError, CamdbenchError):  # no known recipe
        return False
