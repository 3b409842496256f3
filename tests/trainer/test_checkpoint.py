"""Checkpoints: what is written is read back, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from camdbench.core.errors import UnwritableFile
from camdbench.trainer.checkpoint import write_csv, write_json, write_weights


def test_weights_come_back(tmp_path: Path) -> None:
    state = {"a": torch.randn(3, 4).T, "b": torch.tensor(3)}
    write_weights(tmp_path / "new" / "w.safetensors", state)
    found = load_file(tmp_path / "new" / "w.safetensors")
    assert all(torch.equal(found[name], state[name]) for name in state)
    write_json(tmp_path / "new" / "w.json", {})
    modes = {file.stat().st_mode for file in (tmp_path / "new").iterdir()}
    assert len(modes) == 1  # as readable as any other file


def test_json_and_csv_come_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "n": [1, 2.5]})
    write_csv(tmp_path / "a.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 1 / 3, "more": "x"}])
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "é", "n": [1, 2.5]}
    assert (tmp_path / "a.csv").read_text() == "epoch,loss,more\n1,0.5,\n2,0.333333,x\n"


def test_a_crash_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def broken(*_: object, **__: object) -> str:
        raise OSError(28, "disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(UnwritableFile, match=r"a\.json: cannot be written \(No space left on device\); free space on the disk"):
        write_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]
