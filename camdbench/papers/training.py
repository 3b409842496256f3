"""Networks that a recipe has trained first: by which training recipe, under which name, and where they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.merging import merge_nested
from camdbench.core.registries import losses, models
from camdbench.core.spec import Spec
from camdbench.papers.checkpoint_names import named, write_recipe

CHOSEN = ("labelled_fraction", "shots", "labels")  # fields that say which images of a split are learned from, under which labels


@dataclass(frozen=True)
class Training:
    """A network to be trained before it can be measured.

    Attributes:
        written: the training recipe's fields, as JSON.
    """

    written: str

    @classmethod
    def of(cls, paper: str, fields: dict[str, Any], seed: int) -> Training:
        """The training with these fields under a seed; its name holds paper, network, data set and loss.

        A run that comes first (`pretraining`) has the name of the same training on its own, so that the two share a checkpoint.
        Where few images of each class are learned from, the seed is the episode as well: each seed has its own, every method
        the same.
        """
        plan: dict[str, Any] = {name: value for name, value in fields.items() if name != "name"} | {"seed": seed}
        if "shots" in plan.get("data", {}):
            plan["data"] = plan["data"] | {"episode": seed}
        if "pretraining" in plan:
            first = merge_nested({name: value for name, value in plan.items() if name != "pretraining"}, plan["pretraining"])
            plan["pretraining"] = plan["pretraining"] | {"name": cls.of(paper, first, seed).name}
        digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:6]
        dataset = str(plan.get("data", {}).get("dataset", "")).partition("(")[0]
        loss = str(plan.get("loss", "ce")).partition("(")[0]
        name = named(paper, str(plan.get("network", "")), dataset, loss, f"{digest}-s{seed}")
        return cls(json.dumps({"name": name} | plan, sort_keys=True))

    @property
    def fields(self) -> dict[str, Any]:
        """The training recipe, as `camdbench train --recipe` takes it."""
        return json.loads(self.written)

    @property
    def name(self) -> str:
        """The name of the trained network."""
        return self.fields["name"]

    def stand_in(self) -> str | None:
        """The embedded network that was trained by this very loss, if one was: `shortcuts-cfce` for `cfce`.

        Options of the loss decide, those apart that follow the size of images, and label smoothing, which the embedded
        network of cross-entropy has and the papers' have not. None stands for a network that learned from other images or labels,
        or in two runs.
        """
        fields = self.fields
        wanted = losses.parse_one(str(fields.get("loss", "ce")))
        name = f"shortcuts-{wanted.name}"
        plain = "pretraining" not in fields and ("surgery" not in fields or wanted.name not in ("ce", "bce"))
        if name not in models or not plain or any(own in fields.get("data", {}) for own in CHOSEN):
            return None
        return name if _loss_of(name) == _comparable(wanted) else None

    def write(self, folder: Path) -> Path:
        """Write the recipe as YAML, for `camdbench train` here or on another machine."""
        return write_recipe(self.fields, folder)


def _loss_of(name: str) -> Spec | None:
    """The loss by which an embedded network was trained, from its provenance."""
    file = Path(__file__).parents[1] / "models" / "weights" / f"{name}.json"
    if not file.is_file():
        return None
    return _comparable(losses.parse_one(str(json.loads(file.read_text(encoding="utf-8"))["recipe"]["loss"])))


def _comparable(loss: Spec) -> Spec:
    return Spec.of(loss.name, {name: value for name, value in loss.options if name not in ("smoothing", "smallest")})
