"""Recipe files: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from camdbench.core.errors import UsageError, unknown
from camdbench.papers.table_recipe import PaperTable, read_table


def recipe_folder() -> Path:
    """The folder of the recipes: `camdbench/benchmarks` of an installed wheel, `benchmarks` of a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "benchmarks"
    return inside if inside.is_dir() else package.parent / "benchmarks"


def recipe_files() -> dict[str, Path]:
    """Recipe files of tables and figures by name; each has a CSV file of printed values beside it."""
    files = [file for file in recipe_folder().glob("*/*.yaml") if file.with_suffix(".csv").is_file()]
    named = {f"{file.parent.name}-{file.stem}": file for file in files}
    return dict(sorted(named.items(), key=lambda item: _order(item[1])))


def load_table(name: str) -> PaperTable:
    """The recipe of a name, or of a path FILE.yaml with FILE.csv beside it.

    Raises:
        UsageError: unknown name, missing file or wrong field.
    """
    if (file := Path(name)).suffix in (".yaml", ".yml"):
        if not file.with_suffix(".csv").is_file():
            raise UsageError(f"recipe {name}: {file.with_suffix('.csv')} does not exist; write the printed values into it")
        return read_table(file, file.stem)
    files = recipe_files()
    if name not in files:
        raise unknown("recipe", name, files, more="(see: camdbench list recipes)")
    return read_table(files[name], name)


def _order(file: Path) -> tuple[str, str, int]:
    """Sort key of paper, kind and number: table2 before table10."""
    digits = "".join(character for character in file.stem if character.isdigit())
    return file.parent.name, file.stem.rstrip("0123456789"), int(digits or 0)
