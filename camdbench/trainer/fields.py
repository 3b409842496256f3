"""What recipes share: fields that are checked strictly, and one clear line for the first that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from camdbench.core.catalogue import datasets
from camdbench.core.errors import UsageError
from camdbench.core.spec import parse_spec


class Strict(BaseModel):
    """Fields that cannot be changed, none of which is unknown or of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Named(Strict):
    """What is done under a name.

    Attributes:
        name: of what is made, and of the files written.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


R = TypeVar("R", bound=Named)


class Splits(Strict):
    """What is learned from and judged on.

    Attributes:
        dataset: spec of a registered data set, `shortcuts` or `shortcuts(size=64)`, without split and count.
        train: name of the split to learn from.
        count: number of training images; the data set's own unless given.
        evaluate: the splits that what was learned is judged on.
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


def checked(kind: type[R], written: Mapping[str, object], source: str) -> R:
    """Make a recipe of plain values; `source` is named in errors.

    Raises:
        UsageError: a field is unknown, missing or out of range; the message names source, field and mend.
    """
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_first(error, kind)}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {source}: {error}") from None


def changed(recipe: R, **changes: int | None) -> R:
    """The recipe with other values of the fields that are not None, checked again.

    Raises:
        UsageError: a value is out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return checked(type(recipe), recipe.model_dump() | given, recipe.name) if given else recipe


def _first(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first complaint, with its field and what may stand there."""
    found = error.errors()[0]
    path = [str(part) for part in found["loc"]]
    field = ".".join(path)
    if found["type"] == "extra_forbidden":
        return f"{field}: no such field; known: {', '.join(_part_at(kind, path[:-1]).model_fields)}"
    if found["type"] == "missing":
        return f"{field}: missing; it has no default"
    return f"{field}={found['input']!r}: {found['msg'].lower()}"


def _part_at(kind: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The model whose fields stand at a place, `Surgery` for a field of type `Surgery | None`."""
    for name in path:
        held = kind.model_fields[name].annotation
        kind = next(part for part in (held, *get_args(held)) if isinstance(part, type) and issubclass(part, BaseModel))
    return kind
