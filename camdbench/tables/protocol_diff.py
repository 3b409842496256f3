"""Settings in which two runs, or two protocols of a metric, differ."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from camdbench.core.errors import UsageError
from camdbench.core.registries import metrics, protocol_of
from camdbench.core.signs import encodable
from camdbench.tables.load import load_run

DIFF_COLUMNS = ("section", "setting", "a", "b")
ONLY_A, ONLY_B = "only in A", "only in B"  # setting of a row that lists metrics
_ABSENT = "—"


def diff(a: str | Path, b: str | Path) -> pd.DataFrame:
    """List the settings in which two run directories, or two metric specs, differ.

    >>> diff("ad", "ad(protocol=scorecam50)")[["setting", "a", "b"]].values.tolist()
    [['masking', 'pixels', 'normalised'], ['keep', '1.0', '0.5']]

    Args:
        a: a run directory, or a spec such as `insertion(protocol=rise)`.
        b: the same kind as `a`.

    Returns:
        The columns `DIFF_COLUMNS`: metric or section of the record, setting, and both values; empty if nothing differs. Metrics of
        only one run are listed in one row, `ONLY_A` or `ONLY_B`.

    Raises:
        UsageError: invalid argument, or arguments of different kinds.
    """
    both = [Path(item).is_dir() for item in (a, b)]
    if any(both):
        for item, is_run in zip((a, b), both, strict=True):
            if not is_run:
                raise UsageError(f"{item}: no such run directory; give two run directories or two metric specs")
        found = _runs(load_run(a), load_run(b))
    else:
        found = _metrics(str(a), str(b))
    return pd.DataFrame([tuple(map(encodable, row)) for row in found], columns=list(DIFF_COLUMNS))


def _metrics(first: str, second: str) -> list[tuple[str, str, str, str]]:
    for text in (first, second):
        if "/" in text or "\\" in text:
            raise UsageError(f"{text}: no such run directory; give one written by camdbench run --out")
    specs = [metrics.parse_one(text) for text in (first, second)]
    if specs[0].name != specs[1].name:
        raise UsageError(f"{specs[0]} and {specs[1]} are different metrics; give two specs of one metric")
    mine, theirs = (protocol_of(spec) for spec in specs)
    return _differences(specs[0].name, mine.switches | dict(mine.options), theirs.switches | dict(theirs.options))


def _runs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    found = _differences("request", _config(first), _config(second))
    found += _differences("data", _data(first), _data(second))
    for label, mine, theirs in _model_pairs(first["models"], second["models"]):
        found += _differences(label, mine, theirs)
    found += _differences("code", {"camdbench": first.get("code")}, {"camdbench": second.get("code")})
    found += _differences("code", first.get("plugins", {}), second.get("plugins", {}))
    mine, theirs = _by_name(first["metrics"]), _by_name(second["metrics"])
    alone = _Unpaired([], [])
    for name in _union(mine, theirs):
        pairs, left = _pair_specs(mine.get(name, {}), theirs.get(name, {}))
        for one, other in pairs:
            label = one if one == other else f"{one} / {other}"
            found += _differences(label, mine[name][one], theirs[name][other])
        alone = _Unpaired(alone.first + left.first, alone.second + left.second)
    found += [("metrics", ONLY_A, ", ".join(alone.first), _ABSENT)] * bool(alone.first)
    found += [("metrics", ONLY_B, _ABSENT, ", ".join(alone.second))] * bool(alone.second)
    return found


def _model_pairs(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Return label and facts of the models of two runs, paired by name; also those of runs with one model each."""
    if len(mine) == len(theirs) == 1 and mine.keys() != theirs.keys():
        return [(f"{next(iter(mine))} / {next(iter(theirs))}", *mine.values(), *theirs.values())]
    return [(name, mine.get(name, {}), theirs.get(name, {})) for name in _union(mine, theirs)]


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without metrics, models and paths, which other sections cover."""
    left_out = ("metrics", "models", "data_root", "weights", "prompts", "image_ids", "save_maps")
    config = {"objective": "logit"} | record["config"]  # older records have none
    return {key: value for key, value in config.items() if key not in left_out}


def _data(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record["dataset"].get(key) for key in ("fingerprint", "images")}


def _by_name(recorded: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return metric -> spec -> switches and options."""
    found = dict[str, dict[str, dict[str, Any]]]()
    for spec, facts in recorded.items():
        found.setdefault(spec.partition("(")[0], {})[spec] = facts.get("switches", {}) | facts.get("options", {})
    return found


class _Unpaired(NamedTuple):
    """Metric specs of only one run."""

    first: list[str]
    second: list[str]


def _pair_specs(mine: Collection[str], theirs: Collection[str]) -> tuple[list[tuple[str, str]], _Unpaired]:
    """Pair the specs of one metric: equal specs first, then the others in order; also return the unpaired ones."""
    same = [(spec, spec) for spec in mine if spec in theirs]
    left = [[spec for spec in own if spec not in other] for own, other in ((mine, theirs), (theirs, mine))]
    count = min(map(len, left))
    return same + list(zip(*left, strict=False)), _Unpaired(left[0][count:], left[1][count:])


def _differences(of: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    names = _union(first, second)
    written = [(name, _format(first, name), _format(second, name)) for name in names]
    return [(of, name, mine, theirs) for name, mine, theirs in written if mine != theirs]


def _format(settings: Mapping[str, Any], name: str) -> str:
    if name not in settings:
        return _ABSENT
    value = settings[name]
    return value or _ABSENT if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _union(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))
