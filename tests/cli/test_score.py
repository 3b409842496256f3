"""`camdbench score`, end to end: maps of a file are scored as the explainer of that name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from camdbench.cli.main import run_cli


def test_maps_of_a_file_are_scored_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "theirs.npy"
    np.save(file, np.random.default_rng(0).random((4, 12, 12), dtype=np.float32))
    words = ["score", str(file), "-m", "ad,ag", "--limit", "4", "--device", "cpu", "--out", str(tmp_path / "scores"), "-q", "--json"]
    assert run_cli(words) == 0
    found = {(item["explainer"], item["metric"], item["n"]) for item in json.loads(capsys.readouterr().out)}
    assert found == {("theirs", "ad", 4), ("theirs", "ag", 4)}


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["score", str(tmp_path / "none.npy")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
