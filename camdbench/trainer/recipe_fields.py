"""Fields of all recipes, checked strictly; an error reports the first wrong field."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from camdbench.core.errors import UsageError
from camdbench.core.references import has_reference, is_reference, relative_to
from camdbench.core.registries import datasets
from camdbench.core.spec import parse_spec
from camdbench.datasets.open_dataset import is_own_data, split_table

SPLIT = "{split}"  # stands for the name of a split in the text of a user's data


def with_paths_of(folder: Path, fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Fields of a recipe's file, in which references and the data set become paths from here.

    Args:
        folder: folder of the file.
        fields: the fields.
        names: fields that may hold a reference.
    """
    found = dict(fields)
    for name in names:
        if isinstance(given := fields.get(name), str) and has_reference(given):
            found[name] = relative_to(folder, given)
    data = fields.get("data")
    text = data.get("dataset") if isinstance(data, Mapping) else None
    if isinstance(data, Mapping) and isinstance(text, str) and is_own_data(text):
        file, options = split_table(text)
        place = f"{folder / file}{options}" if file and not is_reference(text) else relative_to(folder, text)
        found["data"] = {**data, "dataset": place}
    return found


class Strict(BaseModel):
    """A frozen model that refuses unknown fields and other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Splits(Strict):
    """Splits to train and evaluate on.

    Attributes:
        dataset: spec of a registered data set, `shortcuts` or `shortcuts(size=64)`, without split and count; or a table or reference with
            `{split}` where the name of the split goes: `photos-{split}.csv(size=64)`, `FILE.py:NAME(split="{split}")`.
        train: name of the training split.
        limit: number of training images; default: all.
        evaluation: splits that the result is evaluated on.
        evaluation_limit: number of images in each of them; default: all.
    """

    dataset: str = "shortcuts"
    train: str = "train"
    limit: PositiveInt | None = None
    evaluation: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("val",)
    evaluation_limit: PositiveInt | None = None

    @field_validator("dataset")
    @classmethod
    def _check_dataset(cls, text: str) -> str:
        if is_own_data(text):
            if SPLIT not in text:
                raise UsageError(
                    f"data.dataset={text}: the same images for every split; write {SPLIT} where its name goes, as in photos-{SPLIT}.csv "
                    f'or FILE.py:NAME(split="{SPLIT}")'
                )
            return text
        if datasets.parse_one(text).wrapped:
            raise UsageError(f"data.dataset={text}: mosaics are images of metrics, not of training; give the data set in its brackets")
        given = parse_spec(text).arguments
        if "split" in given or "count" in given:
            raise UsageError(f"data.dataset={text}: split and count have separate fields; use data.train, data.limit, data.evaluation")
        return text


class Optimiser(Strict):
    """Optimiser and learning-rate schedule.

    Attributes:
        name: `adamw`, `adam` or `sgd`.
        lr: highest learning rate.
        weight_decay: weight decay; decoupled with `adamw`, added to the gradient otherwise.
        momentum: momentum of `sgd`.
        schedule: `one_cycle`; `cosine`: linear warm-up, then half a cosine to zero; `multistep`; or `constant`.
        warmup_fraction: fraction of the steps with a rising rate; no effect on `multistep` and `constant`.
        milestones: fractions of the run after which `multistep` multiplies the rate by `gamma`.
        gamma: factor of the learning rate at each milestone.
        max_grad_norm: gradients are clipped to this norm over all weights; default: no clipping.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["one_cycle", "cosine", "multistep", "constant"] = "one_cycle"
    warmup_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    milestones: Annotated[tuple[float, ...], Field(strict=False)] = (1 / 3, 2 / 3)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    max_grad_norm: PositiveFloat | None = None


class Stage(NamedTuple):
    """Epochs with one optimiser and one schedule."""

    epochs: int
    optimiser: Optimiser


class BaseRecipe(Strict):
    """Fields of every recipe.

    Attributes:
        name: name of the result and of its files.
        data: splits to train and evaluate on.
        optimiser: optimiser and learning-rate schedule.
        epochs: passes over the training images.
        batch_size: images per step, over all processes.
        seed: seed of initial weights, order of the images, augmentation and dropout.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    data: Splits = Splits()
    optimiser: Optimiser = Optimiser()
    epochs: PositiveInt = 12
    batch_size: Annotated[int, Field(ge=2)] = 64
    seed: NonNegativeInt = 0

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Stages of the run, in order."""
        return (Stage(self.epochs, self.optimiser),)

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the epoch with the highest validation accuracy are kept, not the last epoch's."""
        return getattr(self, "keep", "last") == "best"

    @property
    def micro_batches(self) -> int:
        """Number of equal parts of a batch that are processed one after the other."""
        return getattr(self, "gradient_accumulation", 1)

    @property
    def mixed_precision(self) -> str:
        """Precision as accelerate names it: `no`, `bf16` or `fp16`."""
        return {"fp32": "no"}.get(name := getattr(self, "precision", "fp32"), name)


R = TypeVar("R", bound=BaseRecipe)


def check_fields(kind: type[R], fields: Mapping[str, object], source: str) -> R:
    """Create a recipe from plain values.

    Args:
        kind: class of the recipe.
        fields: values of the fields.
        source: name of the recipe in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_first_error(error, kind)}") from None
    except UsageError as error:  # pydantic converts only ValueError
        raise UsageError(f"recipe {source}: {error}") from None


def with_changes(recipe: R, **changes: int | str | None) -> R:
    """The recipe with the changes that are not None; raises UsageError if a value is out of range."""
    given = {name: value for name, value in changes.items() if value is not None}
    return check_fields(type(recipe), recipe.model_dump() | given, recipe.name) if given else recipe


def _first_error(error: ValidationError, kind: type[BaseModel]) -> str:
    """Message of the first error: field, value and fix."""
    errors = error.errors()  # a misspelt field first: it explains a missing one
    found = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in found["loc"]]
    field = ".".join(path)
    if found["type"] == "extra_forbidden":
        known = list(_model_at(kind, path[:-1]).model_fields)
        close = "".join(f"did you mean {name!r}? " for name in difflib.get_close_matches(path[-1], known, n=1))
        return f"{field}: no such field; {close}known: {', '.join(known)}"
    if found["type"] == "missing":
        return f"{field}: missing; it has no default"
    return f"{field}={found['input']!r}: {found['msg'].lower()}"


def _model_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The model of a nested field, such as `Surgery` for a field of type `Surgery | None`."""
    for name in path:
        annotation = kind.model_fields[name].annotation
        kind = next(part for part in (annotation, *get_args(annotation)) if isinstance(part, type) and issubclass(part, BaseModel))
    return kind
