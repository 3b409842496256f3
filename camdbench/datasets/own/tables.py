"""Tables of paths: pandas DataFrames, CSV and Parquet files, with one or several rows per image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camdbench.core.errors import UsageError, first_line
from camdbench.core.files import check_text
from camdbench.datasets.in_memory import check_boxes
from camdbench.datasets.mask_values import read_mask
from camdbench.datasets.own.columns import pick
from camdbench.datasets.own.items import Item, Source

Row = dict[Hashable, Any]
_EDGES = ("x0", "y0", "x1", "y1")
_ROLES = {role: (role,) for role in ("image", "label", *_EDGES, "mask")}


def table_source(given: pd.DataFrame | Path, columns: Mapping[str, str], limit: int | None, folder: Path | None = None) -> Source:
    """Items of a table with the columns image, label, x0, y0, x1, y1 and mask, all but the first optional.

    Boxes are in pixels from 0, ends exclusive; rows of one image must agree on label and mask. Paths are relative to a given
    folder, else to that of the file, or to the current one. Ids are the paths as the table states them.

    Raises:
        UsageError: a column is missing, a cell has no meaning, or a picture does not exist.
    """
    table, home, what = (_read(given), given.parent, str(given)) if isinstance(given, Path) else (given, Path(), "DataFrame")
    home = folder or home
    roles = pick(columns, [str(name) for name in table.columns], _ROLES, required="image", what=what)
    if (count := sum(edge in roles for edge in _EDGES)) not in (0, 4):
        raise UsageError(f"{what} has {count} of the columns x0, y0, x1, y1; a box needs all four")
    rows = table[list(roles.values())].set_axis(list(roles), axis=1)
    if (gaps := rows["image"].isna() | (rows["image"].astype(str) == "")).any():
        raise UsageError(f"{what}, row {int(gaps.argmax())}: column {roles['image']!r} is empty; give the path of a picture")
    groups = dict[str, list[Row]]()
    for row in rows.astype(object).where(rows.notna(), None).to_dict("records"):
        groups.setdefault(str(row["image"]), []).append(row)
    are_numbers = "label" in rows and all(map(_is_whole, rows["label"].dropna()))
    items = [_item(name, own, home, what, are_numbers) for name, own in list(groups.items())[:limit]]
    ids = [Path(name).as_posix() for name in groups][:limit]
    return Source(items.__getitem__, len(items), ids, files=True, name=given.stem if isinstance(given, Path) else "")


def _read(file: Path) -> pd.DataFrame:
    """The table of a file; cells of CSV are text, and empty ones unknown."""
    if not file.is_file():
        raise UsageError(f"dataset = {file}: no such file")
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        check_text(file)
        return pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except Exception as error:  # pandas and pyarrow raise many types
        raise UsageError(f"dataset = {file}: cannot be read as a table ({first_line(error)})") from None


def _item(name: str, rows: list[Row], home: Path, what: str, are_numbers: bool) -> Item:
    """The item of all rows of one image."""
    label, mask = (_one(rows, role, f"{what}: image {name}") for role in ("label", "mask"))
    label = int(float(label)) if are_numbers and label is not None else label
    if label is not None and not isinstance(label, int | str):
        raise UsageError(f"{what}: image {name} has the label {label!r}; expected a class name or a whole number")
    picture = home / name
    if not picture.is_file():
        raise UsageError(f"{what}: image {name} does not exist in {home.absolute()}; paths are relative to the table")
    boxes = _boxes(rows, f"{what}: image {name}") if "x0" in rows[0] else None
    return Item(picture, label, boxes, None if mask is None else ReadMask(home / str(mask)))


def _one(rows: list[Row], role: str, what: str) -> Any:
    """The value on which all rows with one agree; None without."""
    own = list(dict.fromkeys(row[role] for row in rows if row.get(role) is not None))
    if len(own) > 1:
        raise UsageError(f"{what} has the {role}s {own[0]} and {own[1]}; give one {role} for each image")
    return own[0] if own else None


def _boxes(rows: list[Row], what: str) -> Tensor:
    cells = [[row[edge] for edge in _EDGES] for row in rows]
    try:
        known = [[float(cell) for cell in row] for row in cells if any(cell is not None for cell in row)]
        return check_boxes(torch.tensor(known, dtype=torch.float64).reshape(-1, 4))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: x0, y0, x1, y1 are not numbers ({first_line(error)})") from None
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None


def _is_whole(value: Any) -> bool:
    """Whether a label is a whole number, also as text or as the float that pandas makes of a column with gaps."""
    if isinstance(value, str):
        return value.strip().lstrip("-").isdecimal()
    return not isinstance(value, bool) and hasattr(value, "__int__") and float(value).is_integer()


@dataclass(frozen=True)
class ReadMask:
    """A mask file, read when it is called; raises SampleError if it is missing or damaged."""

    file: Path

    def __call__(self) -> Tensor:
        """Object (H, W) bool."""
        return read_mask(self.file)
