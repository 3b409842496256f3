"""Recipe: how each cell of one table or figure of a paper is measured, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import read_fields
from camdbench.papers.part import Part
from camdbench.papers.printed import Printed, read_printed

AXES = ("dataset", "model", "method", "metric")
_PAPER, _TRAIN = "paper.yaml", "train.yaml"  # what all recipes of a paper share


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Otherwise(_Strict):
    """Cells that are measured otherwise than their labels say.

    Attributes:
        where: labels by axis: `dataset`, `model`, `method`, `metric`; a cell must have all that are given.
        part: what holds for them instead.
    """

    where: dict[str, str]
    part: Part


class Labels(_Strict):
    """What the labels of a table mean; `paper.yaml` says it for all tables of a paper, a recipe for its own.

    Attributes:
        paper: the paper.
        common: what holds for every cell.
        datasets: parts by the label of the data set.
        models: parts by the label of the network.
        methods: parts by the label of the line.
        metrics: parts by the label of the column.
        notes: what a reader must know: known errors of the paper, and choices where it leaves something open.
    """

    paper: str = ""
    common: Part = Part()
    datasets: dict[str, Part] = Field(default_factory=dict[str, Part])
    models: dict[str, Part] = Field(default_factory=dict[str, Part])
    methods: dict[str, Part] = Field(default_factory=dict[str, Part])
    metrics: dict[str, Part] = Field(default_factory=dict[str, Part])
    notes: Annotated[tuple[str, ...], Field(strict=False)] = ()

    def of(self, axis: str) -> dict[str, Part]:
        """The parts of an axis."""
        return getattr(self, f"{axis}s")


class Recipe(Labels):
    """How one table or figure is reproduced.

    Attributes:
        exhibit: what it is called in the paper.
        summary: what it shows, in one line.
        cells: exceptions, later ones over earlier ones.
        seeds: seeds of the models that are trained first; a cell is the mean over them.
    """

    exhibit: str
    summary: str
    cells: Annotated[tuple[Otherwise, ...], Field(strict=False)] = ()
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1, strict=False)] = (0,)


class Exhibit(BaseModel):
    """A recipe with the values that the paper prints.

    Attributes:
        name: what `camdbench reproduce` takes.
        recipe: labels of the paper and of the recipe as one.
        printed: the cells.
        training: the fields that all training recipes of the paper share.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    recipe: Recipe
    printed: tuple[Printed, ...]
    training: dict[str, Any]

    def part(self, cell: Printed) -> Part:
        """All that the labels of a cell, and the exceptions, say of it.

        Raises:
            CamdbenchError: the recipe knows no such label.
        """
        found = self.recipe.common
        for axis, label in zip(AXES, cell.labels, strict=True):
            known = self.recipe.of(axis)
            if label not in known:
                raise CamdbenchError(f"recipe {self.name}: no {axis} {label!r}, which stands in its table")
            found = known[label].onto(found)
        labels = dict(zip(AXES, cell.labels, strict=True))
        for otherwise in self.recipe.cells:
            if otherwise.where.items() <= labels.items():
                found = otherwise.part.onto(found)
        return found


def read_exhibit(file: Path, name: str) -> Exhibit:
    """Read the recipe of a table, what its paper's recipes share, and the printed values beside it.

    Raises:
        UsageError: a file is no YAML, or a field is unknown, missing or wrong; the message names it.
        CamdbenchError: the printed values are damaged.
    """
    paper = _read(file.with_name(_PAPER)) if file.with_name(_PAPER).is_file() else {}
    shared = _checked(Labels, paper, file.with_name(_PAPER))
    own = _checked(Recipe, _read(file), file)
    merged = {axis: shared.of(axis) | own.of(axis) for axis in AXES}
    recipe = own.model_copy(
        update={f"{axis}s": parts for axis, parts in merged.items()}
        | {"paper": own.paper or shared.paper, "common": own.common.onto(shared.common), "notes": (*own.notes, *shared.notes)}
    )
    training = _read(file.with_name(_TRAIN)) if file.with_name(_TRAIN).is_file() else {}
    return Exhibit(name=name, recipe=recipe, printed=read_printed(file.with_suffix(".csv")), training=training)


def _read(file: Path) -> dict[str, Any]:
    return read_fields(file, "recipe", "exhibit: Table 1")


def _checked(kind: type[Any], written: Mapping[str, Any], file: Path) -> Any:
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(map(str, found["loc"]))
        raise UsageError(f"recipe {file}: {field}={found['input']!r}: {found['msg'].lower()}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {file}: {error}") from None
