"""TableRecipe: measurement of each cell of a table or figure, read from YAML."""

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
_PAPER, _TRAIN = "paper.yaml", "train.yaml"  # shared by all recipes of a paper


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CellOverride(_Strict):
    """Settings of cells that override those of their labels.

    Attributes:
        match: labels by axis: `dataset`, `model`, `method`, `metric`; a cell must have all of them.
        settings: overriding settings.
    """

    match: dict[str, str]
    settings: CellSettings


class LabelSettings(_Strict):
    """Settings by label, for all tables of a paper (`paper.yaml`) or one table.

    Attributes:
        paper: the paper.
        defaults: settings of every cell.
        datasets: settings by label of the data set.
        models: settings by label of the network.
        methods: settings by label of the line.
        metrics: settings by label of the column.
        notes: known errors of the paper, and choices where it is incomplete.
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
    """Recipe of one table or figure.

    Attributes:
        table: name in the paper, such as `Table 1`.
        summary: content in one line.
        overrides: settings of single cells; later ones take precedence.
        seeds: seeds of trained models; a cell is the mean over them.
    """

    table: str
    summary: str
    overrides: Annotated[tuple[CellOverride, ...], Field(strict=False)] = ()
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1, strict=False)] = (0,)


class PaperTable(BaseModel):
    """A recipe with the paper's values.

    Attributes:
        name: name for `camdbench reproduce`.
        recipe: merged settings of paper and table.
        values: the paper's values.
        training: shared fields of the paper's training recipes.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    recipe: TableRecipe
    values: tuple[PaperValue, ...]
    training: dict[str, Any]

    def settings(self, cell: PaperValue) -> CellSettings:
        """Settings of a cell, merged from defaults, labels and overrides.

        Raises:
            CamdbenchError: the recipe has no such label.
        """
        found = self.recipe.defaults
        for axis, label in zip(AXES, cell.labels, strict=True):
            known = self.recipe.of(axis)
            if label not in known:
                raise CamdbenchError(f"recipe {self.name}: no {axis} {label!r}, which its CSV file has; add it under {axis}s")
            found = known[label].over(found)
        labels = dict(zip(AXES, cell.labels, strict=True))
        for override in self.recipe.overrides:
            if override.match.items() <= labels.items():
                found = override.settings.over(found)
        return found


def read_table(file: Path, name: str) -> PaperTable:
    """Read the recipe of a table, the shared settings of its paper, and the printed values beside it.

    Raises:
        UsageError: a file is not YAML, or a field is unknown, missing or wrong.
        CamdbenchError: the printed values are damaged.
    """
    paper = _read(file.with_name(_PAPER)) if file.with_name(_PAPER).is_file() else {}
    shared = _check(LabelSettings, paper, file.with_name(_PAPER))
    own = _check(TableRecipe, _read(file), file)
    merged = {axis: shared.of(axis) | own.of(axis) for axis in AXES}
    recipe = own.model_copy(
        update={f"{axis}s": parts for axis, parts in merged.items()}
        | {"paper": own.paper or shared.paper, "defaults": own.defaults.over(shared.defaults), "notes": (*own.notes, *shared.notes)}
    )
    training = _read(file.with_name(_TRAIN)) if file.with_name(_TRAIN).is_file() else {}
    return PaperTable(name=name, recipe=recipe, values=read_paper_values(file.with_suffix(".csv")), training=training)


def _read(file: Path) -> dict[str, Any]:
    return read_fields(file, "recipe", "table: Table 1")


def _check(kind: type[Any], fields: Mapping[str, Any], file: Path) -> Any:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        errors = error.errors()  # a misspelt field first: it explains a missing one
        found = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        field = ".".join(map(str, found["loc"]))
        if found["type"] == "extra_forbidden":
            raise UsageError(f"recipe {file}: {field}: no such field") from None
        if found["type"] == "missing":
            raise UsageError(f"recipe {file}: {field}: missing; it has no default") from None
        raise UsageError(f"recipe {file}: {field}={found['input']!r}: {found['msg'].lower()}") from None
    except UsageError as error:  # pydantic converts only ValueError
        raise UsageError(f"recipe {file}: {error}") from None
