"""Where the recipes are: in the wheel inside the package, in a checkout beside it."""

from __future__ import annotations

from pathlib import Path

from camdbench.core.errors import unknown
from camdbench.papers.table_recipe import PaperTable, read_table


def recipe_folder() -> Path:
    """The folder of the recipes: `camdbench/benchmarks` of an installed wheel, `benchmarks` of a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "benchmarks"
    return inside if inside.is_dir() else package.parent / "benchmarks"


def recipe_files() -> dict[str, Path]:
    """The recipe of every table and figure by its name; a recipe has the printed values beside it."""
    files = [file for file in recipe_folder().glob("*/*.yaml") if file.with_suffix(".csv").is_file()]
    named = {f"{file.parent.name}-{file.stem}": file for file in files}
    return dict(sorted(named.items(), key=lambda item: _order(item[1])))


def load_table(name: str) -> PaperTable:
    """The recipe of that name, or of a path that ends in .yaml, with its printed values in a CSV file beside it.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    if name.endswith(".yaml"):
        return read_table(Path(name), Path(name).stem)
    files = recipe_files()
    if name not in files:
        raise unknown("recipe", name, files, more="(see: camdbench list recipes)")
    return read_table(files[name], name)


def _order(file: Path) -> tuple[str, str, int]:
    """Paper, kind, number: table2 before table10."""
    digits = "".join(character for character in file.stem if character.isdigit())
    return file.parent.name, file.stem.rstrip("0123456789"), int(digits or 0)
