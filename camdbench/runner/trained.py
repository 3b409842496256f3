"""What the record of a run says of how a checkpoint was trained: by which recipe, under which seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def training_of(model: str) -> dict[str, Any]:
    """The seed and a hash of all else that the weights follow from: `{"training": {"recipe": …, "seed": …}}`.

    Networks that differ in their seed alone have the same hash, of the recipe without its name and of the images' fingerprints.

    Args:
        model: the model as asked for; nothing is known of how any other than a checkpoint was trained.

    Returns:
        What is to be added to the facts of the model; nothing where nothing is known.
    """
    file = Path(model).with_suffix(".json")
    if not model.endswith(".safetensors") or not file.is_file():
        return {}
    facts = json.loads(file.read_text(encoding="utf-8"))
    recipe = facts.get("recipe")
    if not isinstance(recipe, dict) or "seed" not in facts:
        return {}
    same = {name: value for name, value in recipe.items() if name not in ("name", "seed")}
    text = json.dumps([same, facts.get("fingerprints")], sort_keys=True)
    return {"training": {"recipe": hashlib.sha256(text.encode()).hexdigest()[:16], "seed": facts["seed"]}}
