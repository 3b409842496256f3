"""File layouts of data sets, and parsers of their annotation files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from camdbench.core.errors import UsageError
from camdbench.core.files import check_regular, check_text
from camdbench.core.registries import datasets

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_ENDINGS = tuple(sorted(PICTURES))
_SHOWN = 8  # entries of a folder that an error lists


class FolderLayout(NamedTuple):
    """Layout of a data set on disk.

    Attributes:
        name: name of the data set.
        root: folder given as `--data-root`.
        expected: the layout in one line, with ROOT for that folder.
    """

    name: str
    root: Path
    expected: str

    def path(self, relative: str) -> Path:
        """The path of a required file or folder.

        Raises:
            UsageError: it does not exist.
        """
        if not self.root.is_dir():
            raise UsageError(f"--data-root {self.root}: no such folder")
        path = self.root / relative
        if not path.exists():
            raise self.wrong(f"{relative} does not exist{self._near(relative)}")
        return path

    def _near(self, relative: str) -> str:
        """Hint to the parent folder or a sub-folder if it holds the path."""
        root = self.root.absolute()
        near = (folder for folder in (root.parent, *folders_in(root)) if (folder / relative).exists())
        return next((f", but in {folder}: use --data-root {folder}" for folder in near), "")

    def wrong(self, what: str) -> UsageError:
        """The error for another layout: the problem, the expected and the found files."""
        found = sorted(f"{path.name}/" if path.is_dir() else path.name for path in self.root.iterdir() if not path.name.startswith("."))
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "") if found else "nothing"
        source = datasets.get(self.name).facts.source
        return UsageError(
            f"--data-root {self.root} does not hold {self.name}: {what}; expected {self.expected}; "
            f"found in ROOT: {shown} (see docs/datasets/{self.name}.md{f'; source: {source}' if source else ''})"
        )


def read_lines(file: Path) -> list[str]:
    """The non-blank lines of a text file; raises UsageError if it is not text."""
    try:
        check_text(file)
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{file} is not text in UTF-8 ({error})") from None


def read_columns(file: Path, columns: str) -> Iterator[list[str]]:
    """The lines of a text file, split into the named columns; the last may hold blanks.

    Raises:
        UsageError: a line has fewer columns.
    """
    count = len(columns.split())
    for number, line in enumerate(read_lines(file), 1):
        parts = line.split(maxsplit=count - 1)
        if len(parts) != count:
            raise UsageError(f"{file}, line {number}: expected {columns}, found {line!r}")
        yield parts


def read_table(file: Path, columns: str) -> list[dict[str, str]]:
    """The named columns of a CSV file with a header.

    Raises:
        UsageError: the file is not CSV, or a column is missing.
    """
    wanted = columns.split(",")
    try:
        check_text(file)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if lacking := [name for name in wanted if name not in (rows.fieldnames or ())]:
                raise UsageError(f"{file} has no column {lacking[0]!r}; expected {columns}")
            return [{name: row[name] or "" for name in wanted} for row in rows]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UsageError(f"{file} cannot be read as CSV in UTF-8 ({error})") from None


def integer(text: str, file: Path) -> int:
    """Parse an integer of a file; raises UsageError otherwise."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not found.is_integer():
        raise UsageError(f"{file}: expected an integer, found {text!r}")
    return int(found)


def numbers(texts: Iterable[str], file: Path) -> list[float]:
    """Parse finite numbers of a file; raises UsageError otherwise."""
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
        UsageError: the file is damaged, or a variable is missing.
    """
    from scipy.io import loadmat

    try:
        check_regular(file)
        found: dict[str, Any] = loadmat(str(file), simplify_cells=True)
    except Exception as error:  # scipy raises many types
        raise UsageError(f"{file} cannot be read as a MATLAB file ({error})") from None
    for key in keys:
        if key not in found:
            raise UsageError(f"{file}: no variable {key!r}; known: {', '.join(sorted(name for name in found if name[0] != '_'))}")
    return found


def pictures_under(folder: Path) -> list[Path]:
    """All image files below a folder, sorted by path; without hidden files, as notebooks and macOS create them.

    Raises:
        UsageError: the name of a file or folder is not UTF-8.
    """
    return [folder / name for name in picture_names(folder)]


def picture_names(folder: Path) -> list[str]:
    """The paths of these files from the folder, with slashes; folders are listed without a call per file.

    Raises:
        UsageError: the name of a file or folder is not UTF-8.
    """
    found = sorted(_pictures_in(str(folder)), key=lambda name: os.path.normcase(name).replace(os.sep, "/").split("/"))
    return _named(found, folder)


def _pictures_in(folder: str) -> Iterator[str]:
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from (f"{entry.name}/{name}" for name in _pictures_in(entry.path))
            elif entry.name.lower().endswith(_ENDINGS) and entry.is_file():
                yield entry.name


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without hidden ones.

    Raises:
        UsageError: the name of a folder is not UTF-8.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    _named([path.name for path in found], folder)
    return found


def _named(names: list[str], folder: Path) -> list[str]:
    """The names, which become ids and classes; tables and records hold these as UTF-8."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{os.fsencode(folder / name)!r}: the name is not UTF-8; rename it") from None
    return names
