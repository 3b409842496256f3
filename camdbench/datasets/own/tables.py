"""Tables of paths: pandas DataFrames, CSV and Parquet files, with one or several rows per image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camdbench.core.errors import UsageError, first_line
from camdbench.datasets.in_memory import check_boxes
from camdbench.datasets.mask_values import read_mask
from camdbench.datasets.own.columns import pick
from camdbench.datasets.own.items import Item, Source

_EDGES = ("x0", "y0", "x1", "y1")
_ROLES = {role: (role,) for role in ("image", "label", *_EDGES, "mask")}


def table_source(given: pd.DataFrame | Path, columns: Mapping[str, str], limit: int | None) -> Source:
    """Items of a table with the columns image, label, x0, y0, x1, y1 and mask, all but the first optional.

    Boxes are in pixels from 0, ends exclusive; rows of one image must agree on label and mask. Paths are relative to the file
    of the table, or to the current folder. Ids are the paths as the table states them.

    Raises:
        UsageError: a column is missing, a cell has no meaning, or a picture does not exist.
    """
    table, home, what = (_read(given), given.parent, str(given)) if isinstance(given, Path) else (given, Path(), "DataFrame")
    roles = pick(columns, [str(name) for name in table.columns], _ROLES, required="image", what=what)
    if (count := sum(edge in roles for edge in _EDGES)) not in (0, 4):
        raise UsageError(f"{what} has {count} of the columns x0, y0, x1, y1; a box needs all four")
    rows = table[list(roles.values())].set_axis(list(roles), axis=1)
    if (gaps := rows["image"].isna() | (rows["image"].astype(str) == "")).any():
        raise UsageError(f"{what}, row {int(gaps.argmax())}: column {roles['image']!r} is empty; give the path of a picture")
    groups = [(str(name), own) for name, own in rows.groupby(rows["image"].astype(str), sort=False)][:limit]
    are_numbers = "label" in rows and all(map(_is_whole, rows["label"].dropna()))
    items = [_item(name, own, home, what, are_numbers) for name, own in groups]
    ids = [Path(name).as_posix() for name, _ in groups]
    return Source(items.__getitem__, len(items), ids, files=True, name=given.stem if isinstance(given, Path) else "")


def _read(file: Path) -> pd.DataFrame:
    """The table of a file; cells of CSV are text, and empty ones unknown."""
    if not file.is_file():
        raise UsageError(f"dataset = {file}: no such file")
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except Exception as error:  # pandas and pyarrow raise many types
        raise UsageError(f"dataset = {file}: cannot be read as a table ({first_line(error)})") from None


def _item(name: str, rows: pd.DataFrame, home: Path, what: str, are_numbers: bool) -> Item:
    """The item of all rows of one image."""
    for role in ("label", "mask"):
        if role in rows and len(own := list(dict.fromkeys(rows[role].dropna()))) > 1:
            raise UsageError(f"{what}: image {name} has the {role}s {own[0]} and {own[1]}; give one {role} for each image")
    first = {role: next(iter(rows[role].dropna()), None) for role in ("label", "mask") if role in rows}
    label: Any = first.get("label")
    label = int(float(label)) if are_numbers and label is not None else label
    if label is not None and not isinstance(label, int | str):
        raise UsageError(f"{what}: image {name} has the label {label!r}; expected a class name or a whole number")
    picture = home / name
    if not picture.is_file():
        raise UsageError(f"{what}: image {name} does not exist in {home.absolute()}; paths are relative to the table")
    boxes = _boxes(rows, f"{what}: image {name}") if "x0" in rows else None
    mask = first.get("mask")
    return Item(picture, label, boxes, None if mask is None else ReadMask(home / str(mask)))


def _boxes(rows: pd.DataFrame, what: str) -> Tensor:
    known = rows[list(_EDGES)].dropna(how="all")
    try:
        return check_boxes(torch.tensor(known.astype(float).to_numpy().reshape(-1, 4)))
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
