"""ProbeRecipe: all settings that determine the weights of a segmentation probe, read from YAML."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.models.zoo import check_model
from camdbench.trainer.recipe_fields import BaseRecipe, check_fields, with_paths_of


class ProbeRecipe(BaseRecipe):
    """A segmentation probe under a name; `BaseRecipe` has the other fields. The data set must have masks.

    Attributes:
        model: classifier: the name of a model, or the path of a checkpoint.
        layer: layer that feeds the head; default: the target layer of the model.
        backbone: `frozen`: only the head is trained; `trained`: trained end to end.
        background: whether the mean IoU includes the background, as in PASCAL VOC; the head predicts it in any case.
        flip: probability of a horizontal flip in training.
    """

    model: str
    layer: str | None = None
    backbone: Literal["frozen", "trained"] = "frozen"
    background: bool = True
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_size: Annotated[int, Field(ge=2)] = 16

    @field_validator("model")
    @classmethod
    def _check_model(cls, name: str) -> str:
        check_model(name)
        return name

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        if self.data.train in self.data.evaluation:
            raise UsageError(f"data.train={self.data.train}: a probe is not evaluated on its training split; use val")
        return self


check_probe = partial(check_fields, ProbeRecipe)


def read_probe(path: str | Path) -> ProbeRecipe:
    """Read and check a recipe, in which references are relative to its folder; raises UsageError if the file or a field is wrong."""
    fields = read_fields(Path(path), "recipe", "name: my-probe", hint="; an example is benchmarks/shortcuts/probe.yaml")
    return check_probe(with_paths_of(Path(path).parent, fields, ("model",)), str(path))
