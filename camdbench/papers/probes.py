"""Segmentation probes that fill cells of a table: by which recipe, on which network, and what came out."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.errors import CamdbenchError
from camdbench.core.merging import merge_nested
from camdbench.papers.agreement import OurValue
from camdbench.papers.checkpoint_names import named, write_recipe

METRIC = "miou"
"""What a cell of a probe has in place of a metric of the registry."""


@dataclass(frozen=True)
class ProbeSettings:
    """A probe that is to be trained on a network.

    Attributes:
        written: the fields of its recipe, but for network, data set and what is judged, as JSON.
    """

    written: str

    @classmethod
    def of(cls, fields: dict[str, Any], seed: int) -> ProbeSettings:
        """The probe with these fields under a seed."""
        return cls(json.dumps(fields | {"seed": seed}, sort_keys=True))

    def recipe(self, paper: str, model: str, dataset: str, split: str, count: int | None) -> dict[str, Any]:
        """The whole recipe, as `camdbench probe --recipe` takes it; its name holds paper, network and backbone.

        Args:
            paper: what the name begins with.
            model: name of the network, or the path of its checkpoint.
            dataset: spec of the data set.
            split: what is judged.
            count: how many images of it; all where None.
        """
        judged: dict[str, Any] = {"dataset": dataset, "evaluation": [split]} | ({} if count is None else {"evaluation_limit": count})
        network = Path(model).name.removesuffix(".safetensors")  # the name of a trained one has a hash of its recipe
        plan = merge_nested(json.loads(self.written), {"data": judged})
        digest = hashlib.sha256(json.dumps([network, plan], sort_keys=True).encode()).hexdigest()[:8]
        return {"name": named(paper, "probe", network, str(plan.get("backbone", "")), digest), "model": model} | plan


@dataclass(frozen=True)
class Probes:
    """Finds, or makes, the probes of a table.

    Attributes:
        folder: with `NAME.json` of each.
        recipes: folder that their recipes are written into.
        train: whether those that are not there are trained here and now.
        device: where.
    """

    folder: Path
    recipes: Path
    train: bool
    device: str

    def judged(self, fields: dict[str, Any], split: str, data_root: str | None) -> FinishedProbe:
        """What a probe is worth on a split.

        Raises:
            CamdbenchError: it has to be trained first, or training failed.
        """
        file = self.folder / f"{fields['name']}.json"
        if not file.is_file():
            recipe = write_recipe(fields, self.recipes)
            if not self.train:
                raise CamdbenchError(
                    "the probe is trained first: give --train, or "
                    f"camdbench probe --recipe {recipe} --data-root DIR --out {self.folder} and then the same command again"
                )
            from camdbench.trainer.probe import probe

            probe(recipe, out=self.folder, device=self.device, data_root=data_root)
        return FinishedProbe(json.loads(file.read_text(encoding="utf-8"))["metrics"][split])


@dataclass(frozen=True)
class FinishedProbe:
    """A probe that is done.

    Attributes:
        found: its score on the split, from its provenance.
    """

    found: dict[str, Any]

    def measured(self, explainer: str, metric: str, *, cost: bool = False) -> OurValue:
        """The mean IoU in percent with its interval over images, whatever is asked for."""
        del explainer, metric, cost
        value, low, high = (self.found.get(name, math.nan) for name in ("miou", "low", "high"))
        if math.isnan(value):
            return OurValue(reason="no pixel of these images has a known class")
        return OurValue(value, low, high, self.found["count"])
