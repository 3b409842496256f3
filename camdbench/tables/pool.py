"""Pooling: runs with different cells read as one, if they agree in everything on which values depend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.tables.cell_values import Cells, join_cells
from camdbench.tables.load import MODEL_FACTS, load_run, load_usage
from camdbench.tables.load_cells import load_cells

_CELL = ["model", "explainer", "metric"]
_CONFIG = ("dataset", "split", "target", "objective", "seed", "precision", "optimize")  # options of a run with which its values change
_ABSENT = {"optimize": "none", "objective": "logit"}  # values of options that older runs do not have
_HASHES = ("code", "class_names")
_SHOWN = 4  # characters of a hash, if they differ


class NotPooled(UsageError):
    """Runs that cannot be pooled.

    Attributes:
        difference: names of two runs, and what keeps them from being pooled.
    """

    def __init__(self, difference: str) -> None:
        super().__init__(f"{difference}; --across compares equal cells")
        self.difference = difference


class Pooled(NamedTuple):
    """One or more runs, read as one.

    Attributes:
        about: record, in the form of `load_run`.
        cells: the cells of all runs, run after run.
        folders: the run directories.
    """

    about: dict[str, Any]
    cells: Cells
    folders: tuple[Path, ...]

    def usage(self) -> pd.DataFrame:
        """Usage of all runs, in the form of `load_usage`."""
        return _joined([load_usage(folder) for folder in self.folders])


def load_pooled(runs: Sequence[str | Path | Pooled]) -> Pooled:
    """Read runs as one: their cells (model, explainer, metric) must be different, and everything else equal.

    What is read already is returned, so several tables need one reading.

    Data, images, target rule, objective, seed, precision and the code of camdbench must agree; so must the network of a model, the
    protocol of a metric, the layers of an explainer and the code of a plug-in that two runs have. The table is then that of one run.

    Raises:
        UsageError: no run.
        NotPooled: runs that cannot be pooled; names the first difference.
    """
    if not runs:
        raise UsageError("no run: give a run directory")
    if len(runs) == 1 and isinstance(runs[0], Pooled):
        return runs[0]
    folders = tuple(folder for run in runs for folder in (run.folders if isinstance(run, Pooled) else [Path(run)]))
    records = [load_run(folder) for folder in folders]
    for place, second in enumerate(records):
        for first in records[:place]:
            if difference := next(_differences(first, second), ""):
                raise NotPooled(f"{first['run']} and {second['run']} cannot be pooled: {difference}")
    parts = [load_cells(folder) for folder in folders]
    _refuse_equal_cells(parts, records)
    return Pooled(_merged(records), join_cells(parts), folders)


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences that prevent pooling, as text."""
    for name in _CONFIG:
        if (pair := _pair(_ABSENT | first["config"], _ABSENT | second["config"], name)) is not None:
            yield f"{name}: {pair[0]} and {pair[1]}"
    if (pair := _pair(first["dataset"], second["dataset"], "fingerprint")) is not None:
        yield f"the data differ (fingerprints {_hashes(*pair)})"
    if first["ids"] != second["ids"]:
        yield f"the images differ ({len(first['ids'])} and {len(second['ids'])} images)"
    if (pair := _pair(first, second, "code")) is not None:
        yield f"the code of camdbench differs ({_hashes(*pair)})"
    yield from _differing_networks(first, second)
    for name in _shared(first, second, "metrics"):
        for fact in ("protocol", "protocol_hash"):
            if (pair := _pair(first["metrics"][name], second["metrics"][name], fact)) is not None:
                yield f"the protocols of {name} differ ({pair[0]} and {pair[1]})"
    for kind, what in (("plugins", "the code"), ("given", "the maps")):
        for name in _shared(first, second, kind):
            if (pair := _pair(first[kind], second[kind], name)) is not None:
                yield f"{what} of {name} differ{'s' * (kind == 'plugins')} ({_hashes(*pair)})"


def _differing_networks(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for name in _shared(first, second, "models"):
        one, two = first["models"][name], second["models"][name]
        if (pair := _pair(one, two, "weights_hash")) is not None:
            yield f"the networks differ ({name}: weights {_hashes(*pair)})"
        for fact, default in MODEL_FACTS.items():
            if (pair := _pair({fact: default, **one}, {fact: default, **two}, fact)) is not None:
                yield f"the networks differ ({name}: {fact} {_hashes(*pair) if fact in _HASHES else f'{pair[0]} and {pair[1]}'})"
    for name in _shared(first, second, "explainers"):
        if first["explainers"][name].get("layers") and not _layers_agree(first["explainers"][name], second["explainers"][name]):
            yield f"the layers of {name} differ"


def _pair(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> tuple[Any, Any] | None:
    """Both values of a fact, if they differ."""
    one, two = first.get(name), second.get(name)
    return None if one == two else (one, two)


def _shared(first: Mapping[str, Any], second: Mapping[str, Any], kind: str) -> list[str]:
    return [name for name in first.get(kind, {}) if name in second.get(kind, {})]


def _layers_agree(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    one, two = (own.get("layers") or {} for own in (first, second))
    return all(one[model] == two[model] for model in one if model in two)


def _hashes(first: object, second: object) -> str:
    """Both hashes, shortened unless the beginnings agree.

    >>> _hashes("1a2b3c4d", "9c8d7e6f"), _hashes("1a2b3", "1a2b4")
    ('1a2b… and 9c8d…', '1a2b3 and 1a2b4')
    """
    one, two = str(first), str(second)
    return f"{one} and {two}" if one[:_SHOWN] == two[:_SHOWN] else f"{one[:_SHOWN]}… and {two[:_SHOWN]}…"


def _refuse_equal_cells(parts: Sequence[Cells], records: Sequence[Mapping[str, Any]]) -> None:
    seen = dict[tuple[str, ...], str]()
    for part, about in zip(parts, records, strict=True):
        cells = list(part.keys[_CELL].drop_duplicates().itertuples(index=False, name=None))
        if twice := next((cell for cell in cells if cell in seen), None):
            raise NotPooled(f"{seen[twice]} and {about['run']} cannot be pooled: both have {twice[1]} × {twice[2]} on {twice[0]}")
        seen |= dict.fromkeys(cells, about["run"])


def _merged(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge the records; the first has precedence where both have a fact."""
    if len(records) == 1:
        return records[0]
    found = {**records[0], "run": " + ".join(own["run"] for own in records)}
    for kind in ("models", "explainers", "metrics", "plugins", "given"):
        found[kind] = {name: facts for own in reversed(records) for name, facts in own.get(kind, {}).items()}
    return found


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [own for own in tables if len(own)]
    return pd.concat(filled, ignore_index=True) if len(filled) > 1 else (filled or list(tables))[0]
