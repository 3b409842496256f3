"""Training recipes of a table's networks, and their names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.merging import merge_nested
from camdbench.core.registries import losses, models
from camdbench.core.spec import Spec
from camdbench.papers.checkpoint_names import join_name, write_recipe

CHOSEN = ("labelled_fraction", "shots", "labels")  # fields that select training images and labels


@dataclass(frozen=True)
class Training:
    """Training of a network.

    Attributes:
        written: fields of the training recipe, as JSON; run names hash this field.
    """

    written: str

    @classmethod
    def of(cls, paper: str, fields: dict[str, Any], seed: int) -> Training:
        """The training with a seed; its name holds paper, network, data set and loss.

        A pretraining run has the name of the same training alone: both share a checkpoint. In few-shot training the seed is
        the episode too, equal for every method.
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
        name = join_name(paper, str(plan.get("network", "")), dataset, loss, f"{digest}-s{seed}")
        return cls(json.dumps({"name": name} | plan, sort_keys=True))

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the training recipe, for `camdbench train --recipe`."""
        return json.loads(self.written)

    @property
    def name(self) -> str:
        """Name of the trained network."""
        return self.fields["name"]

    def stand_in(self) -> str | None:
        """The embedded network trained by the same loss, such as `shortcuts-cfce` for `cfce`; None without one.

        The options of the loss must match, except those that depend on the image size and label smoothing. Trainings with
        pretraining or selected images or labels have no embedded network.
        """
        fields = self.fields
        loss = losses.parse_one(str(fields.get("loss", "ce")))
        name = f"shortcuts-{loss.name}"
        simple = "pretraining" not in fields and ("surgery" not in fields or loss.name not in ("ce", "bce"))
        if name not in models or not simple or any(field in fields.get("data", {}) for field in CHOSEN):
            return None
        return name if _loss_of(name) == _comparable(loss) else None

    def write(self, folder: Path) -> Path:
        """Write the recipe as YAML, for `camdbench train`."""
        return write_recipe(self.fields, folder)


def _loss_of(name: str) -> Spec | None:
    """The loss of an embedded network, from its provenance."""
    file = Path(__file__).parents[1] / "models" / "weights" / f"{name}.json"
    if not file.is_file():
        return None
    return _comparable(losses.parse_one(str(json.loads(file.read_text(encoding="utf-8"))["recipe"]["loss"])))


def _comparable(loss: Spec) -> Spec:
    return Spec.of(loss.name, {name: value for name, value in loss.options if name not in ("smoothing", "smallest")})
