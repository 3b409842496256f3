"""ProbeRecipe: everything that decides what a segmentation probe yields, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, field_validator

from camdbench.core.catalogue import datasets
from camdbench.core.errors import UsageError
from camdbench.core.files import read_fields
from camdbench.core.spec import parse_spec
from camdbench.models.zoo import check_model
from camdbench.trainer.recipe import Optimiser


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProbeData(_Part):
    """What is learned from and judged on.

    Attributes:
        dataset: spec of a registered data set with masks, `shortcuts` or `voc2012(labels="multi")`, without split and count.
        train: name of the split to learn from.
        count: number of training images; the data set's own unless given.
        evaluate: the splits that the probe is judged on.
        evaluate_count: number of images in each of them, likewise.
    """

    dataset: str = "shortcuts"
    train: str = "train"
    count: PositiveInt | None = None
    evaluate: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("val",)
    evaluate_count: PositiveInt | None = None

    @field_validator("dataset")
    @classmethod
    def _known(cls, text: str) -> str:
        datasets.parse_one(text)
        given = parse_spec(text).arguments
        if "split" in given or "count" in given:
            raise UsageError("leave split and count out of the data set's spec; they have fields of their own")
        return text


class ProbeRecipe(_Part):
    """A segmentation probe.

    Attributes:
        name: name of the probe, and of the files written.
        model: the classifier: the name of a model, or the path of a checkpoint.
        layer: the layer whose output the head sees; the model's target layer unless given.
        backbone: `frozen`, so that the head alone learns, or `trained`, end to end.
        data: what is learned from and judged on.
        background: whether the mean IoU is taken over the background too, as in PASCAL VOC; it is learned in any case.
        flip: probability of a mirror image in training.
        optimiser: step size and decay.
        epochs: passes over the training images.
        batch_size: images per step.
        seed: decides the head's first weights, the order of the images, mirror images and dropout.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    model: str
    layer: str | None = None
    backbone: Literal["frozen", "trained"] = "frozen"
    data: ProbeData = ProbeData()
    background: bool = True
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    optimiser: Optimiser = Optimiser()
    epochs: PositiveInt = 12
    batch_size: Annotated[int, Field(ge=2)] = 16
    seed: NonNegativeInt = 0

    @field_validator("model")
    @classmethod
    def _there(cls, name: str) -> str:
        check_model(name)
        return name


def read_probe(path: str | Path) -> ProbeRecipe:
    """Read and check a recipe; nothing is trained.

    Raises:
        UsageError: no such file, not YAML, or a field that is unknown, missing or out of range.
    """
    file = Path(path)
    written = read_fields(file, "recipe", "name: my-probe", mend="; an example is benchmarks/shortcuts/probe.yaml")
    return check_probe(written, str(file))


def check_probe(written: Mapping[str, object], source: str) -> ProbeRecipe:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and mend.
    """
    try:
        recipe = ProbeRecipe.model_validate(written)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_first(error)}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {source}: {error}") from None
    if recipe.data.train in recipe.data.evaluate:
        raise UsageError(f"recipe {source}: split {recipe.data.train!r} is trained on, so it cannot judge the probe; use val")
    return recipe


_PARTS: dict[str, type[BaseModel]] = {"data": ProbeData, "optimiser": Optimiser}


def _first(error: ValidationError) -> str:
    """The first complaint, with its field and what may stand there."""
    found = error.errors()[0]
    field = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        known = _PARTS.get(field.rpartition(".")[0], ProbeRecipe).model_fields
        return f"{field}: no such field; known: {', '.join(known)}"
    if found["type"] == "missing":
        return f"{field}: missing; it has no default"
    return f"{field}={found['input']!r}: {found['msg'].lower()}"
