"""TableRecipe: how each cell of one table or figure of a paper is measured, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import read_fields
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.paper_values import PaperValue, read_paper_values

AXES = ("dataset", "model", "method", "metric")
_PAPER, _TRAIN = "paper.yaml", "train.yaml"  # what all recipes of a paper share


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CellOverride(_Strict):
    """Settings of cells that override those of their labels.

    Attributes:
        match: labels by axis: `dataset`, `model`, `method`, `metric`; a cell must have all that are given.
        settings: what holds for them instead.
    """

    match: dict[str, str]
    settings: CellSettings


class LabelSettings(_Strict):
    """What the labels of a table mean; `paper.yaml` says it for all tables of a paper, a recipe for its own.

    Attributes:
        paper: the paper.
        defaults: what holds for every cell.
        datasets: settings by the label of the data set.
        models: settings by the label of the network.
        methods: settings by the label of the line.
        metrics: settings by the label of the column.
        notes: what a reader must know: known errors of the paper, and choices where it leaves something open.
    """

    paper: str = ""
    defaults: CellSettings = CellSettings()
    datasets: dict[str, CellSettings] = Field(default_factory=dict[str, CellSettings])
    models: dict[str, CellSettings] = Field(default_factory=dict[str, CellSettings])
    methods: dict[str, CellSettings] = Field(default_factory=dict[str, CellSettings])
    metrics: dict[str, CellSettings] = Field(default_factory=dict[str, CellSettings])
    notes: Annotated[tuple[str, ...], Field(strict=False)] = ()

    def of(self, axis: str) -> dict[str, CellSettings]:
        """The settings of an axis."""
        return getattr(self, f"{axis}s")


class TableRecipe(LabelSettings):
    """How one table or figure is reproduced.

    Attributes:
        table: what it is called in the paper.
        summary: what it shows, in one line.
        overrides: exceptions, later ones over earlier ones.
        seeds: seeds of the models that are trained first; a cell is the mean over them.
    """

    table: str
    summary: str
    overrides: Annotated[tuple[CellOverride, ...], Field(strict=False)] = ()
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1, strict=False)] = (0,)


class PaperTable(BaseModel):
    """A recipe with the values that the paper prints.

    Attributes:
        name: what `camdbench reproduce` takes.
        recipe: labels of the paper and of the recipe as one.
        printed: the cells.
        training: the fields that all training recipes of the paper share.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    recipe: TableRecipe
    printed: tuple[PaperValue, ...]
    training: dict[str, Any]

    def settings(self, cell: PaperValue) -> CellSettings:
        """All that the labels of a cell, and the exceptions, say of it.

        Raises:
            CamdbenchError: the recipe knows no such label.
        """
        found = self.recipe.defaults
        for axis, label in zip(AXES, cell.labels, strict=True):
            known = self.recipe.of(axis)
            if label not in known:
                raise CamdbenchError(f"recipe {self.name}: no {axis} {label!r}, which stands in its table")
            found = known[label].over(found)
        labels = dict(zip(AXES, cell.labels, strict=True))
        for override in self.recipe.overrides:
            if override.match.items() <= labels.items():
                found = override.settings.over(found)
        return found


def read_table(file: Path, name: str) -> PaperTable:
    """Read the recipe of a table, what its paper's recipes share, and the printed values beside it.

    Raises:
        UsageError: a file is no YAML, or a field is unknown, missing or wrong; the message names it.
        CamdbenchError: the printed values are damaged.
    """
    paper = _read(file.with_name(_PAPER)) if file.with_name(_PAPER).is_file() else {}
    shared = _checked(LabelSettings, paper, file.with_name(_PAPER))
    own = _checked(TableRecipe, _read(file), file)
    merged = {axis: shared.of(axis) | own.of(axis) for axis in AXES}
    recipe = own.model_copy(
        update={f"{axis}s": parts for axis, parts in merged.items()}
        | {"paper": own.paper or shared.paper, "defaults": own.defaults.over(shared.defaults), "notes": (*own.notes, *shared.notes)}
    )
    training = _read(file.with_name(_TRAIN)) if file.with_name(_TRAIN).is_file() else {}
    return PaperTable(name=name, recipe=recipe, printed=read_paper_values(file.with_suffix(".csv")), training=training)


def _read(file: Path) -> dict[str, Any]:
    return read_fields(file, "recipe", "table: Table 1")


def _checked(kind: type[Any], written: Mapping[str, Any], file: Path) -> Any:
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(map(str, found["loc"]))
        raise UsageError(f"recipe {file}: {field}={found['input']!r}: {found['msg'].lower()}") from None
    except UsageError as error:  # pydantic lets it through: it is no ValueError
        raise UsageError(f"recipe {file}: {error}") from None
