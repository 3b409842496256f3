"""Fields that all recipes share, checked strictly; the first wrong field is reported in one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, TypeVar, get_args

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
from camdbench.core.registries import datasets
from camdbench.core.spec import parse_spec


class Strict(BaseModel):
    """A frozen model that accepts no unknown field and no other type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Splits(Strict):
    """Splits to train and evaluate on.

    Attributes:
        dataset: spec of a registered data set, `shortcuts` or `shortcuts(size=64)`, without split and count.
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
    def _known(cls, text: str) -> str:
        datasets.parse_one(text)
        given = parse_spec(text).arguments
        if "split" in given or "count" in given:
            raise UsageError("leave split and count out of the data set's spec; they have fields of their own")
        return text


class Optimiser(Strict):
    """Optimiser and learning-rate schedule.

    Attributes:
        name: `adamw`, `adam` or `sgd`.
        lr: highest learning rate.
        weight_decay: weight decay; decoupled with `adamw`, added to the gradient otherwise.
        momentum: of `sgd`.
        schedule: `one_cycle`; `cosine`, a linear warm-up and then half a cosine down to zero; `multistep`; or `constant`.
        warmup_fraction: fraction of the steps on which the rate rises to `lr`; none with `multistep` and `constant`.
        milestones: fractions of the run after which `multistep` multiplies the rate by `gamma`.
        gamma: that factor.
        max_grad_norm: gradients are clipped to this norm, over all weights; default: no clipping.
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
    """The fields of every recipe.

    Attributes:
        name: of the result and of the files written.
        data: splits to train and evaluate on.
        optimiser: optimiser and learning-rate schedule.
        epochs: passes over the training images.
        batch_size: images per step, of all processes together.
        seed: of initial weights, order of the images and augmentation.
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
        """Whether the weights of the epoch with the highest validation accuracy are kept, instead of the last epoch's."""
        return False

    @property
    def micro_batches(self) -> int:
        """Equal parts of a batch that are processed one after the other."""
        return 1

    @property
    def mixed_precision(self) -> str:
        """`no`, `bf16` or `fp16`, as accelerate names it."""
        return "no"


R = TypeVar("R", bound=BaseRecipe)


def check_fields(kind: type[R], written: Mapping[str, object], source: str) -> R:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and fix.
    """
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_first(error, kind)}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {source}: {error}") from None


def with_changes(recipe: R, **changes: int | None) -> R:
    """The recipe with other values of the fields that are not None, checked again.

    Raises:
        UsageError: a value is out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return check_fields(type(recipe), recipe.model_dump() | given, recipe.name) if given else recipe


def _first(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first complaint, with its field and what may stand there."""
    found = error.errors()[0]
    path = [str(part) for part in found["loc"]]
    field = ".".join(path)
    if found["type"] == "extra_forbidden":
        known = list(_part_at(kind, path[:-1]).model_fields)
        close = "".join(f"did you mean {name!r}? " for name in difflib.get_close_matches(path[-1], known, n=1))
        return f"{field}: no such field; {close}known: {', '.join(known)}"
    if found["type"] == "missing":
        return f"{field}: missing; it has no default"
    return f"{field}={found['input']!r}: {found['msg'].lower()}"


def _part_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The model whose fields stand at a place, `Surgery` for a field of type `Surgery | None`."""
    for name in path:
        held = kind.model_fields[name].annotation
        kind = next(part for part in (held, *get_args(held)) if isinstance(part, type) and issubclass(part, BaseModel))
    return kind
