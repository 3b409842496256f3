"""The resolved configuration of a run starts an equal run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.runner.config import RunConfig


def test_the_configuration_of_a_run_gives_equal_rows_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    np.save("theirs.npy", np.random.default_rng(0).random((3, 8, 8)))
    words = ["-e", "random,gradcam", "-m", "ad", "--sample", "3", "--seed", "5", "--maps", "x=theirs.npy"]
    assert run_cli(["run", *words, "--out", "first", "-q"]) in (0, 3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run_cli(["run", "--config", "../first/run.yaml", "--out", "second", "-q"]) in (0, 3)
    one, two = camdbench.load_rows("../first"), camdbench.load_rows("second")
    pd.testing.assert_frame_equal(one.drop(columns="run"), two.drop(columns="run"))
    written = yaml.safe_load((tmp_path / "first" / "run.yaml").read_text())
    assert set(RunConfig.__dataclass_fields__) - {"out"} <= set(written)
    assert run_cli(["run", "--config", "../first/run.yaml", "--out", "third", "--sample", "2", "-e", "gradcam", "-q"]) in (0, 3)
    assert camdbench.load_rows("third").groupby("explainer").size().to_dict() == {"gradcam": 2, "x": 2}


def test_a_dry_run_prints_options_and_jobs_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("explainers: gradcam\nlimit: 3\nout: made\n")
    assert run_cli(["run", "--config", "run.yaml", "-e", "opticam(iterations=5)", "-m", "ad", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["limit"] == 3
    assert yaml.safe_load(out)["explainers"] == ["opticam(iterations=5)"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_an_unknown_option_and_an_object_of_another_session_are_refused(tmp_path: Path, capsys):
    (tmp_path / "wrong.yaml").write_text("explainer: gradcam\n")
    assert run_cli(["run", "--config", str(tmp_path / "wrong.yaml")]) == 2
    assert "no option 'explainer'; did you mean 'explainers'?" in capsys.readouterr().err
    classifier = camdbench.load_classifier("shortcuts-ce", device="cpu")
    given = camdbench.run("gradcam", "ad", models={"mine": classifier}, limit=2, out=tmp_path / "first")
    with pytest.raises(UsageError, match=r"models = \['mine'\]: an object of a Python session"):
        camdbench.run(config=tmp_path / "first" / "run.yaml", out=tmp_path / "second")
    again = camdbench.run(config=tmp_path / "first" / "run.yaml", models={"mine": classifier}, out=tmp_path / "second")
    assert again["value"].tolist() == given["value"].tolist()
