"""Where a reader looks, and what it says when something else is there."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_SHOWN = 8  # entries of a folder that an error lists


class FolderLayout(NamedTuple):
    """What a data set looks like on disk.

    Attributes:
        name: the data set's name.
        root: the folder given as `--data-root`.
        expected: the layout in one line, with ROOT for that folder.
    """

    name: str
    root: Path
    expected: str

    def path(self, relative: str) -> Path:
        """A file or folder that must be there.

        Raises:
            UsageError: it is not; the message says what was expected and what was found.
        """
        if not self.root.is_dir():
            raise UsageError(f"--data-root {self.root}: no such folder")
        path = self.root / relative
        if not path.exists():
            raise self.wrong(f"{relative} is not there{self._near(relative)}")
        return path

    def _near(self, relative: str) -> str:
        """The folder that should have been given, where it is the one above or one inside."""
        root = self.root.absolute()
        near = (folder for folder in (root.parent, *folders_in(root)) if (folder / relative).exists())
        return next((f", but in {folder}: give --data-root {folder}" for folder in near), "")

    def wrong(self, what: str) -> UsageError:
        """The error for another layout: what is wrong, what was expected, what was found."""
        found = sorted(f"{path.name}/" if path.is_dir() else path.name for path in self.root.iterdir() if not path.name.startswith("."))
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "") if found else "nothing"
        source = datasets.get(self.name).facts.source
        return UsageError(
            f"--data-root {self.root} does not hold {self.name}: {what}; expected {self.expected}; "
            f"found in ROOT: {shown} (see docs/datasets/{self.name}.md{f'; source: {source}' if source else ''})"
        )


def read_lines(file: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        UsageError: it is no text.
    """
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{file} is not text in UTF-8 ({error})") from None


def read_columns(file: Path, columns: str) -> Iterator[list[str]]:
    """The lines of a text file, each split into as many columns as named; the last may hold blanks.

    Raises:
        UsageError: a line has fewer.
    """
    count = len(columns.split())
    for number, line in enumerate(read_lines(file), 1):
        parts = line.split(maxsplit=count - 1)
        if len(parts) != count:
            raise UsageError(f"{file}, line {number}: expected {columns}, found {line!r}")
        yield parts


def read_table(file: Path, columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file with a header that holds at least the named columns.

    Raises:
        UsageError: it is no such table; the message names the column that is missing.
    """
    wanted = columns.split(",")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if lacking := [name for name in wanted if name not in (rows.fieldnames or ())]:
                raise UsageError(f"{file} has no column {lacking[0]!r}; expected {columns}")
            return [{name: row[name] or "" for name in wanted} for row in rows]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"{file} cannot be read as CSV in UTF-8 ({error})") from None


def integer(text: str, file: Path) -> int:
    """A whole number that stands in a file.

    Raises:
        UsageError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{file}: expected a whole number, found {text!r}") from None


def numbers(texts: Iterable[str], file: Path) -> list[float]:
    """Finite numbers that stand in a file.

    Raises:
        UsageError: one of them is none.
    """
    given = list(texts)
    try:
        found = [float(text) for text in given]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise UsageError(f"{file}: expected numbers, found {' '.join(given)!r}")
    return found


def read_mat(file: Path, *keys: str) -> dict[str, Any]:
    """A MATLAB file as nested dicts, lists and arrays.

    Raises:
        UsageError: it is damaged, or a variable is not in it.
    """
    from scipy.io import loadmat

    try:
        held: dict[str, Any] = loadmat(str(file), simplify_cells=True)
    except Exception as error:  # scipy's readers fail in many ways
        raise UsageError(f"{file} cannot be read as a MATLAB file ({error})") from None
    for key in keys:
        if key not in held:
            raise UsageError(f"{file} does not hold {key!r}; it holds {', '.join(sorted(name for name in held if name[0] != '_'))}")
    return held


def pictures_under(folder: Path) -> list[Path]:
    """All picture files below a folder, sorted by path; hidden ones, as notebooks and macOS leave them, apart."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones apart, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
