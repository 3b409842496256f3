"""ProbeRecipe: everything that the weights of a segmentation probe follow from, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.models.zoo import check_model
from camdbench.trainer.recipe_fields import BaseRecipe, check_fields


class ProbeRecipe(BaseRecipe):
    """A segmentation probe under a name.

    Attributes:
        model: the classifier: the name of a model, or the path of a checkpoint.
        layer: the layer whose output the head sees; the model's target layer unless given.
        backbone: `frozen`, so that the head alone learns, or `trained`, end to end.
        data: splits to train and evaluate on, of a data set with masks, such as `shortcuts` or `voc2012(labels="multi")`.
        background: whether the mean IoU is taken over the background too, as in PASCAL VOC; it is learned in any case.
        flip: probability of a mirror image in training.
        optimiser: step size and decay.
        epochs: passes over the training images.
        batch_size: images per step.
        seed: decides the head's first weights, the order of the images, mirror images and dropout.
    """

    model: str
    layer: str | None = None
    backbone: Literal["frozen", "trained"] = "frozen"
    background: bool = True
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_size: Annotated[int, Field(ge=2)] = 16

    @field_validator("model")
    @classmethod
    def _there(cls, name: str) -> str:
        check_model(name)
        return name

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.data.train in self.data.evaluation:
            raise UsageError(f"data.train={self.data.train}: a probe is not evaluated on its training split; use val")
        return self


def read_probe(path: str | Path) -> ProbeRecipe:
    """Read and check a recipe; nothing is trained.

    Raises:
        UsageError: no such file, not YAML, or a field that is unknown, missing or out of range.
    """
    file = Path(path)
    written = read_fields(file, "recipe", "name: my-probe", hint="; an example is benchmarks/shortcuts/probe.yaml")
    return check_probe(written, str(file))


def check_probe(written: Mapping[str, object], source: str) -> ProbeRecipe:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and fix.
    """
    return check_fields(ProbeRecipe, written, source)
