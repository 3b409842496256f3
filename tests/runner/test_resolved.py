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
from camdbench.core.spec import parse_spec
from camdbench.runner.config import RunConfig
from camdbench.runner.resolved import passes_of


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
    passes = 3 * passes_of(parse_spec("opticam(iterations=5)")).total
    assert out.splitlines()[-1] == f"# shortcuts-ce × opticam(iterations=5): 3 images, {passes} passes"
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


OWN = """
import torch
from torch import nn
from neighbour import SCALE

def small(width: int = 4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))

def first(trace, *, count: int = 1):
    return SCALE * trace.activations[:, :count].sum(1)

def inside(classifier, images, maps, targets, *, power: int = 1):
    return maps.mean((1, 2)) ** power

def pictures(size: int = 16):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, size, size, generator=generator), index) for index in range(3)]
"""


def test_references_are_written_with_absolute_paths_and_read_relative_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    (folder / "neighbour.py").write_text("SCALE = 2.0\n")
    given = {
        "explainers": "own.py:first(count=2),three=own.py:first(count=3),short=opticam(iterations=2),gradcam",
        "metrics": ["ad", "own.py:inside(power=2)"],
        "models": {"mine": "own.py:small(width=6)"},
        "dataset": "photos=own.py:pictures(size=20)",
        "mean": 0.5,
        "std": 0.25,
        "layer": "1",
        "device": "cpu",
    }
    (folder / "given.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.chdir(tmp_path)
    rows = camdbench.run(config="own/given.yaml", out="first")
    assert (list(rows["explainer"].unique()), set(rows["dataset"])) == (["first(count=2)", "three", "short", "gradcam"], {"photos"})
    written = yaml.safe_load(Path("first/run.yaml").read_text())
    file = folder / "own.py"
    assert written["explainers"] == [f"{file}:first(count=2)", f"three={file}:first(count=3)", "short=opticam(iterations=2)", "gradcam"]
    assert (written["metrics"], written["models"]) == (["ad", f"{file}:inside(power=2)"], [f"mine={file}:small(width=6)"])
    assert written["dataset"] == f"photos={file}:pictures(size=20)"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run_cli(["run", "--config", "../first/run.yaml", "--out", "second", "-q"]) == 0
    pd.testing.assert_frame_equal(rows.drop(columns="run"), camdbench.load_rows("second").drop(columns="run"))
    capsys.readouterr()
    assert run_cli(["run", "--config", "../first/run.yaml", "--out", "../first"]) == 0
    assert "4 jobs, 4 already done" in capsys.readouterr().err
    objects = camdbench.run({"mine": lambda trace: trace.activations.sum(1)}, "ad", out="third", limit=2)
    assert len(objects) == 2
    for name, value in (("explainers", "gradcam"), ("metrics", "ad")):
        assert yaml.safe_load(Path("third/run.yaml").read_text())[name] == ({"object": ["mine"]} if name == "explainers" else [value])
    with pytest.raises(UsageError, match=r"explainers = \['mine'\]: an object of a Python session; give --explainers"):
        camdbench.run(config="third/run.yaml", out="fourth")
