"""`compare`: two recorded states, artefact by artefact, on bits.

Float values are compared by their 64 bits; NaN equals NaN as a class, -0.0 differs from 0.0. Maps are compared by their raw bytes.
A number in printed CSV may have gained digits. Printed text is compared exactly; with a table of renames the amount of blank space
and of ruling is free, as widths follow words.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from renaming import Renames

SHOWN = 5  # differences printed for each artefact
WIDTH = 300  # characters of a difference
_KEYS = ("run", "model", "explainer", "image", "metric", "curve", "part", "x", "stage", "chunk", "epoch", "step", "target_rule")
_SKIPPED = ("work-*", "about.json")


@dataclass
class Report:
    """The comparison of one artefact.

    Attributes:
        name: path of the artefact within its state.
        identical: number of values that are bit-identical.
        differences: one line for each difference.
        diff: unified diff of printed text.
    """

    name: str
    identical: int = 0
    differences: list[str] = field(default_factory=list[str])
    diff: str = ""

    @property
    def kind(self) -> str:
        """First folder of the artefact."""
        return self.name.partition("/")[0]

    def text(self, *, show_diff: bool) -> str:
        """Return the report in a few lines."""
        if not self.differences:
            return f"{self.name}: {self.identical:,} values bit-identical"
        more = len(self.differences) - SHOWN
        lines = [f"{self.name}: {len(self.differences)} differences, {self.identical:,} values bit-identical"]
        lines += [f"  {line[:WIDTH]}" for line in self.differences[:SHOWN]] + ([f"  … {more} more"] if more > 0 else [])
        return "\n".join(lines + ([self.diff] if show_diff and self.diff else []))


def compare_states(before: Path, after: Path, table: Path | None, only: Sequence[str], skip: Sequence[str]) -> list[Report]:
    """Compare all artefacts of two states."""
    renames = Renames.read(table, _protocols(before))
    files = [
        {renames.artefact(name) if state == before else name: path for name, path in _artefacts(state).items()} for state in (before, after)
    ]
    chosen = sorted(
        name
        for name in files[0].keys() | files[1].keys()
        if any(fnmatch(name, pattern) for pattern in only) and not any(fnmatch(name, pattern) for pattern in (*skip, *_SKIPPED))
    )
    return [_compare(*(own.get(name, Path("absent")) for own in files), name, renames) for name in chosen]


def _artefacts(state: Path) -> dict[str, Path]:
    """Return name -> file; names of reproduced runs without the hashes in them."""
    names = {str(path.relative_to(state)): path for path in state.rglob("*") if path.is_file()}
    return {re.sub(r"-[0-9a-f]{6,8}(?=[-.])", "", name) if name.startswith("reproduce/") else name: path for name, path in names.items()}


def _compare(old: Path, new: Path, name: str, renames: Renames) -> Report:
    report = Report(name)
    for path, state in ((old, "before"), (new, "after")):
        if not path.is_file():
            report.differences.append(f"not there {state}")
            return report
    {".parquet": _tables, ".csv": _tables, ".json": _json, ".safetensors": _maps}.get(new.suffix, _texts)(old, new, report, renames)
    return report


def _tables(old: Path, new: Path, report: Report, renames: Renames) -> None:
    a, b = (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str) for path in (old, new))
    a = _renamed(a, report.name, renames)
    b = b.drop(columns=[name for name in renames.dropped("column", report.name, after=True) if name in b])
    if set(a.columns) != set(b.columns):
        report.differences.append(f"columns only before: {sorted(set(a) - set(b))}; only after: {sorted(set(b) - set(a))}")
    columns = [name for name in a.columns if name in b.columns]
    keys = [name for name in _KEYS if name in columns]
    a, b = (_indexed(table[columns], keys) for table in (a, b))
    if not a.index.equals(b.index):
        _keys(a, b, report)
        a, b = (table.loc[a.index.intersection(b.index)] for table in (a, b))
    for name in columns:
        _column(a[name], b[name], keys, report)


def _renamed(table: pd.DataFrame, artefact: str, renames: Renames) -> pd.DataFrame:
    """Return the table of the state before under the new names."""
    table = table.drop(columns=[name for name in renames.dropped("column", artefact, after=False) if name in table])
    table = table.rename(columns={old: new for old, new in renames.mapping("column", artefact).items() if new})
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            scope = "explainers" if name == "explainer" else "metrics"
            known = {value: renames.value(str(name), value, artefact, scope) for value in table[name].unique()}
            table[name] = table[name].map(known).astype(table[name].dtype)
    return table


def _indexed(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the table indexed by its keys and the number of the occurrence, in its own order."""
    if not keys:
        return table.reset_index(drop=True)
    occurrence = table.groupby(keys, dropna=False, observed=True).cumcount()
    index = pd.MultiIndex.from_arrays([*(_words(table[key]) for key in keys), occurrence], names=[*keys, "occurrence"])
    return table.set_axis(index, axis=0)


def _words(column: pd.Series) -> pd.Series:
    return column.map(lambda value: value if isinstance(value, str) else repr(value)).astype(object)


def _keys(a: pd.DataFrame, b: pd.DataFrame, report: Report) -> None:
    for rest, state in ((a.index.difference(b.index, sort=False), "before"), (b.index.difference(a.index, sort=False), "after")):
        report.differences += [f"row only {state}: {key}" for key in rest]
    common = a.index.intersection(b.index, sort=False)
    if len(common) == len(a) == len(b):
        report.differences.append("the rows are the same, in another order")


def _column(a: pd.Series, b: pd.Series, keys: list[str], report: Report) -> None:
    """Compare a column; a change of its type is a difference."""
    if a.dtype.kind != b.dtype.kind and {a.dtype.kind, b.dtype.kind} & set("iufb"):
        report.differences.append(f"column {a.name}: {a.dtype} before, {b.dtype} after")
    equal = _equal(a, b)
    report.identical += int(equal.sum())
    if a.name not in keys:
        report.differences += [f"{a.name} at {a.index[place]}: {a.iloc[place]!r} → {b.iloc[place]!r}" for place in np.flatnonzero(~equal)]


def _equal(a: pd.Series, b: pd.Series) -> np.ndarray:
    if a.dtype.kind == b.dtype.kind == "f":
        x, y = (column.to_numpy(np.float64) for column in (a, b))
        return (x.view(np.uint64) == y.view(np.uint64)) | (np.isnan(x) & np.isnan(y))
    return np.array(
        [left == right or (pd.isna(left) and pd.isna(right)) or _rounds_to(right, left) for left, right in zip(a, b)], dtype=bool
    )


def _rounds_to(after: Any, before: Any) -> bool:
    """Return whether a printed number is the one before with further digits."""
    try:
        return isinstance(after, str) and f"{float(after):.6g}" == before
    except ValueError:
        return False


def _json(old: Path, new: Path, report: Report, renames: Renames) -> None:
    try:
        a, b = (dict(_flat(json.loads(path.read_text(encoding="utf-8")))) for path in (old, new))
    except json.JSONDecodeError:  # a command that failed printed none
        _texts(old, new, report, renames)
        return
    gone, added = (renames.dropped("key", report.name, after=after) for after in (False, True))
    a = {path: value for path, value in a.items() if not gone & _segments(path)}
    a = dict(_leaf(path, value, report.name, renames) for path, value in a.items())
    new_leaves = renames.dropped("value", report.name, after=True)
    b = {path: value for path, value in b.items() if not added & _segments(path) and f"{_name_of(path)}={value}" not in new_leaves}
    for path in dict.fromkeys((*a, *b)):
        left, right = a.get(path, "(missing)"), b.get(path, "(missing)")
        if _same(left, right):
            report.identical += 1
        else:
            report.differences.append(f"{' / '.join(path)}: {left!r} → {right!r}")


def _leaf(path: tuple[str, ...], value: Any, artefact: str, renames: Renames) -> tuple[tuple[str, ...], Any]:
    """Return the path and the value of a leaf of JSON under the new names."""
    explained = "explainers" in path or artefact in ("registry/explainers.json", "registry/defaults.json")
    scope = "explainers" if explained else "metrics"
    keys = tuple(renames.key(segment, artefact, scope, parent=parent) for parent, segment in zip(("", *path), path))
    name = _name_of(keys)
    mapped = renames.key(value, artefact, scope) if name.endswith(" in order") else renames.value(name, value, artefact, scope)
    return keys, mapped


def _segments(path: tuple[str, ...]) -> set[str]:
    """Return the keys of a path, alone and with their parents."""
    return {*path, *map("/".join, pairwise(path))}


def _name_of(path: tuple[str, ...]) -> str:
    """Return the last key of a path that is no position in a list."""
    return next((key for key in reversed(path) if not key.startswith("[")), "")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return bool(_equal(pd.Series([a]), pd.Series([b]))[0])
    return type(a) is type(b) and a == b


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, (*path, str(key)))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _flat(item, (*path, f"[{place}]"))
    elif value != []:  # an empty list is as good as none
        yield path or ("value",), value


def _maps(old: Path, new: Path, report: Report, renames: Renames) -> None:
    from safetensors.numpy import load_file

    a, b = (load_file(path) for path in (old, new))
    a = {"|".join(renames.spec(part, "explainers") for part in name.split("|")): value for name, value in a.items()}
    for name in dict.fromkeys((*a, *b)):
        if name not in a or name not in b:
            report.differences.append(f"map only {'after' if name not in a else 'before'}: {name}")
        elif a[name].dtype != b[name].dtype or a[name].shape != b[name].shape:
            report.differences.append(f"{name}: {a[name].dtype} {a[name].shape} → {b[name].dtype} {b[name].shape}")
        elif a[name].tobytes() != b[name].tobytes():
            report.differences.append(f"{name}: largest difference {np.nanmax(np.abs(a[name].astype(float) - b[name].astype(float))):.3g}")
        else:
            report.identical += a[name].size


def _texts(old: Path, new: Path, report: Report, renames: Renames) -> None:
    a, b = (path.read_text(encoding="utf-8") for path in (old, new))
    renamed = renames.text(a, report.name) if renames.lines else a
    if report.kind == "files":
        new = tuple(f"{name}/" for name in renames.dropped("folder", report.name, after=True))
        b = "\n".join(line for line in b.splitlines() if not new or not line.startswith(new))
        renamed, b = ("\n".join(sorted(text.splitlines())) for text in (renamed, b))
    if renamed == b or (renames.lines and _words_of(renamed) == _words_of(b)):
        report.identical += len(b.splitlines())
        return
    lines = list(difflib.unified_diff(renamed.splitlines(), b.splitlines(), "before", "after", lineterm="", n=1))
    report.differences += [line for line in lines[2:] if line[:1] in "+-"]
    report.diff = "\n".join(lines)


def _words_of(text: str) -> list[str]:
    return re.sub(r"[─━═|+-]{3,}", "---", text).split()


def _protocols(state: Path) -> dict[str, Any]:
    """Return the protocols of the registry, and those under options that runs used."""
    path = state / "registry" / "protocols.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for record in sorted((state / "record").glob("*.json")):
        for spec, facts in json.loads(record.read_text(encoding="utf-8")).get("metrics", {}).items():
            if isinstance(facts, dict) and "protocol_hash" in facts:
                known.setdefault(spec.partition("(")[0], {})[f"in a run: {spec}"] = {**facts, "hash": facts["protocol_hash"]}
    return known
