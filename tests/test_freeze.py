"""The freeze tool: a change of one bit is found, and a rename is not one."""

from __future__ import annotations

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


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), "compare", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_equal_states_are_identical_and_one_bit_is_found(tmp_path: Path):
    before = state(tmp_path / "before", VALUES)
    equal = compare(before, state(tmp_path / "equal", VALUES))
    assert equal.returncode == 0, equal.stdout + equal.stderr
    assert "all 4 artefacts are identical" in equal.stdout
    other = compare(before, state(tmp_path / "other", [*VALUES[:2], np.nextafter(VALUES[2], 0)]))
    assert other.returncode == 1
    assert "rows/a.parquet: 1 differences" in other.stdout
    assert "curves/a.parquet: 1 differences" in other.stdout
    assert "2 of 4 artefacts differ" in other.stdout


@pytest.mark.parametrize("changed", [{"text": "third class\n"}, {"metric": "ag"}, {"curve": "curve"}])
def test_other_words_names_and_columns_are_found(tmp_path: Path, changed: dict[str, str]):
    assert compare(state(tmp_path / "before", VALUES), state(tmp_path / "after", VALUES, **changed)).returncode == 1


def test_a_table_of_renames_maps_names_but_no_value(tmp_path: Path):
    table = tmp_path / "renames.csv"
    lines = ["kind,where,old,new", "column,curves/*,part,curve", "switch,,scored,scored_class", "word,text/*,second,runner_up"]
    table.write_text("\n".join(lines), encoding="utf-8")
    names = {"curve": "curve", "metric": 'ad(scored_class="label")', "text": "runner_up class\n"}
    before = state(tmp_path / "before", VALUES)
    renamed = compare(before, state(tmp_path / "after", VALUES, **names), "--renames", table)
    assert renamed.returncode == 0, renamed.stdout + renamed.stderr
    moved = compare(before, state(tmp_path / "moved", [0.2, *VALUES[1:]], **names), "--renames", table)
    assert moved.returncode == 1
    assert "3 of 4 artefacts differ" in moved.stdout
