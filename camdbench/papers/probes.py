"""Segmentation probes of a table: recipes, training and scores."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import read_json
from camdbench.core.merging import merge_nested
from camdbench.papers.agreement import OurValue
from camdbench.papers.checkpoint_names import join_name, write_recipe

METRIC = "miou"
"""Metric of the cells of a probe; it is not in the registry."""


@dataclass(frozen=True)
class ProbeSettings:
    """Settings of a probe.

    Attributes:
        written: fields of its recipe, without network, data set and evaluation, as JSON.
    """

    written: str

    @classmethod
    def of(cls, fields: dict[str, Any], seed: int) -> ProbeSettings:
        """The settings with a seed."""
        return cls(json.dumps(fields | {"seed": seed}, sort_keys=True))

    def recipe(self, paper: str, model: str, dataset: str, split: str, count: int | None) -> dict[str, Any]:
        """The complete recipe for `camdbench probe --recipe`; its name holds paper, network and backbone.

        Args:
            paper: prefix of the name.
            model: name of the network, or the path of its checkpoint.
            dataset: spec of the data set.
            split: split of the evaluation.
            count: number of images of the evaluation; None: all.
        """
        data: dict[str, Any] = {"dataset": dataset, "evaluation": [split]} | ({} if count is None else {"evaluation_limit": count})
        network = Path(model).name.removesuffix(".safetensors")  # the name of a trained network has a hash of its recipe
        plan = merge_nested(json.loads(self.written), {"data": data})
        digest = hashlib.sha256(json.dumps([network, plan], sort_keys=True).encode()).hexdigest()[:8]
        return {"name": join_name(paper, "probe", network, str(plan.get("backbone", "")), digest), "model": model} | plan


@dataclass(frozen=True)
class Probes:
    """Finds or trains the probes of a table.

    Attributes:
        folder: folder with `NAME.json` of each probe.
        recipes: output folder of the recipes.
        train: whether missing probes are trained.
        device: device of training.
    """

    folder: Path
    recipes: Path
    train: bool
    device: str

    def result(self, fields: dict[str, Any], split: str, data_root: str | None) -> FinishedProbe:
        """The scores of a probe on a split.

        Raises:
            CamdbenchError: the probe is not trained yet, or training failed.
        """
        file = self.folder / f"{fields['name']}.json"
        if not (file.is_file() and file.with_suffix(".safetensors").is_file()):  # the weights are written last
            recipe = write_recipe(fields, self.recipes)
            if not self.train:
                raise CamdbenchError(
                    "the probe is not trained yet; use --train, or run "
                    f"camdbench probe --recipe {recipe} --data-root DIR --out {self.folder} and repeat this command"
                )
            from camdbench.trainer.probe import probe

            probe(recipe, out=self.folder, device=self.device, data_root=data_root)
        found = read_json(file, _Sidecar, "probe", fix="delete it and run the same command again", error=CamdbenchError)["metrics"]
        if split not in found:
            raise CamdbenchError(f"probe {file}: no metrics of split {split}; delete it and run the same command again")
        return FinishedProbe(found[split])


class _Scores(BaseModel):
    miou: float = math.nan
    low: float = math.nan
    high: float = math.nan
    count: int


class _Sidecar(BaseModel):
    metrics: dict[str, _Scores]


@dataclass(frozen=True)
class FinishedProbe:
    """A finished probe.

    Attributes:
        found: its scores on the split, from its provenance.
    """

    found: dict[str, Any]

    def measured(self, explainer: str, metric: str, *, cost: bool = False) -> OurValue:
        """Mean IoU in per cent with its interval over images; the arguments are ignored."""
        del explainer, metric, cost
        value, low, high = (self.found.get(name, math.nan) for name in ("miou", "low", "high"))
        if math.isnan(value):
            return OurValue(reason="no pixel of these images has a known class")
        return OurValue(value, low, high, self.found["count"])
