"""The freeze tool: a change of one bit is found, and a rename is not one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TOOL = Path(__file__).parents[1] / "benchmarks" / "freeze"
VALUES = [0.1, np.nan, 75.3]


def state(
    folder: Path, values: list[float], *, curve: str = "part", metric: str = 'ad(scored="label")', text: str = "second  class\n"
) -> Path:
    """A recorded state with rows, curves, a record and a printed table."""
    keys = {"run": "a", "image": ["1", "2", "3"], "model": "m", "explainer": "gradcam", "metric": metric}
    for kind, more in (("rows", {}), ("curves", {curve: "curve", "x": 0.5})):
        (folder / kind).mkdir(parents=True)
        pd.DataFrame(keys | more | {"value": values}).to_parquet(folder / kind / "a.parquet")
    (folder / "text").mkdir()
    (folder / "text" / "table.txt").write_text(text, encoding="utf-8")
    (folder / "text" / "table.json").write_text(json.dumps({"ad": [values[0]]}), encoding="utf-8")
    return folder


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch):
    """Names of the artefacts that differ between two states."""
    monkeypatch.syspath_prepend(str(TOOL))
    from comparing import compare_states

    def different(before: Path, after: Path, table: Path | None = None) -> dict[str, int]:
        reports = compare_states(before, after, table, ["*"], [])
        assert len(reports) == 4
        return {report.name: len(report.differences) for report in reports if report.differences}

    return different


def test_the_exit_code_says_whether_anything_differs(tmp_path: Path):
    before, after = state(tmp_path / "before", VALUES), state(tmp_path / "after", VALUES, text="third class\n")
    done = subprocess.run([sys.executable, str(TOOL), "compare", before, after, "--diff"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "-second  class" in done.stdout
    assert "1 of 4 artefacts differ" in done.stdout


def test_equal_states_are_identical_and_one_bit_is_found(tmp_path: Path, compare):
    before = state(tmp_path / "before", VALUES)
    assert compare(before, state(tmp_path / "equal", VALUES)) == {}
    other = [*VALUES[:2], float(np.nextafter(VALUES[2], 0))]
    assert compare(before, state(tmp_path / "other", other)) == {"rows/a.parquet": 1, "curves/a.parquet": 1}


@pytest.mark.parametrize("changed", [{"text": "third class\n"}, {"metric": "ag"}, {"curve": "curve"}])
def test_other_words_names_and_columns_are_found(tmp_path: Path, compare, changed: dict[str, str]):
    assert compare(state(tmp_path / "before", VALUES), state(tmp_path / "after", VALUES, **changed))


def test_a_table_of_renames_maps_names_but_no_value(tmp_path: Path, compare):
    table = tmp_path / "renames.csv"
    lines = ["kind,where,old,new", "column,curves/*,part,curve", "switch,,scored,scored_class", "word,text/*,second,runner_up"]
    table.write_text("\n".join(lines), encoding="utf-8")
    names = {"curve": "curve", "metric": 'ad(scored_class="label")', "text": "runner_up class\n"}
    before = state(tmp_path / "before", VALUES)
    assert compare(before, state(tmp_path / "after", VALUES, **names), table) == {}
    moved = compare(before, state(tmp_path / "moved", [0.2, *VALUES[1:]], **names), table)
    assert moved == {"rows/a.parquet": 1, "curves/a.parquet": 1, "text/table.json": 1}


def test_hashes_of_protocols_follow_the_names_of_switches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOL))
    from renaming import Rename, Renames

    def digest(switches: dict[str, str]) -> str:
        return hashlib.sha256(json.dumps(["ad", switches, {"step": 8}], sort_keys=True).encode()).hexdigest()[:8]

    old = digest({"scored": "label", "maps": "raw"})
    known = {"ad": {"a": {"switches": {"scored": "label", "maps": "raw"}, "options": {"step": 8}, "hash": old}}}
    renames = Renames([Rename("switch", "metrics", "scored", "scored_class")], known)
    assert renames.hash(old) == digest({"scored_class": "label", "maps": "raw"})
    assert renames.hash("00000000") == "00000000"
