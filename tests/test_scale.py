"""benchmarks/scale: a synthesised run is one of the runner's, and each line of the table is measured in a fresh process."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from camdbench import compare, summarise
from camdbench.runner.packs import compact
from camdbench.tables.load_cells import load_cells

FOLDER = Path(__file__).parents[1] / "benchmarks" / "scale"


def module(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


def test_a_synthesised_run_holds_its_values_in_parts_and_in_packs(tmp_path: Path) -> None:
    tool = module("synthetic_run")
    tool.write_run(tmp_path / "run", 40, 16)
    schemas = [pq.read_schema(file) for file in (tmp_path / "run" / "rows").rglob("*.parquet")]
    assert len(schemas) == 3 * len(tool.EXPLAINERS)
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    summary = summarise(tmp_path / "run")
    assert list(summary["explainer"].unique()) == list(tool.EXPLAINERS)
    for seed, explainer in enumerate(tool.EXPLAINERS):
        own = summary[summary["explainer"] == explainer]
        values = tool.values_of(40, seed)
        assert list(own["metric"]) == list(tool.METRICS)
        assert own["mean"].to_numpy() == pytest.approx(np.nanmean(values, axis=0), rel=1e-12)
        assert own["n_undefined"].tolist() == np.isnan(values).sum(0).tolist()
    assert len(compare(tmp_path / "run", metrics=[tool.METRICS[0]])) == 15 * 14 / 2
    before = load_cells(tmp_path / "run")
    assert compact(tmp_path / "run").packs
    np.testing.assert_array_equal(load_cells(tmp_path / "run").values, before.values)


def test_lines_are_measured_and_compared_with_their_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scale", *f"--images 8 --chunk 4 --steps cells --forms parts --work {tmp_path}".split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / "__main__.py"), run_name="__main__")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "parts: 30 files" in out
    assert "| load_cells | 2,400 |" in out
