"""The resolved configuration of a run starts an equal run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

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
    assert set(RunConfig.__dataclass_fields__) - {"out", "shard"} == set(written) - {"plugins"}
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


EXAMPLE = """
plugins: [my_cam.py]
models: {small: "nets.py:small(width=8)", dino: hf/./checkpoints/dino}
dataset: "folder(size=32)"
data_root: photos
explainers: [gradcam, "opticam(iterations=2)", my_cam, "captum:IntegratedGradients(n_steps=2)"]
maps: {their-cam: theirs.npz}
metrics: [ad, ag, "insertion(protocol=rise)"]
"""
NETS = """
import camdbench, torch
from torch import nn
def small(width=4):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))
    return camdbench.classifier(network, layer="1", mean=0.5, std=0.25, input_size=32)
"""
CAM = "import camdbench\n@camdbench.explainer('my_cam', paper='none')\ndef f(trace):\n    'A map.'\n    return trace.images.mean(1)\n"


@pytest.mark.filterwarnings("ignore:metric insertion")
def test_a_configuration_with_everything_a_user_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 32, "patch_size": 8}
    config = transformers.Dinov2Config(**sizes, num_labels=2)
    transformers.Dinov2ForImageClassification(config).save_pretrained(tmp_path / "checkpoints" / "dino")
    transformers.BitImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path / "checkpoints" / "dino")
    draw, ids = np.random.default_rng(0), ["a/0.png", "b/1.png"]
    for name in ids:
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    np.savez(tmp_path / "theirs.npz", **{name: draw.random((8, 8)) for name in ids})
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "my_cam.py").write_text(CAM)
    (tmp_path / "asked.yaml").write_text(EXAMPLE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rows = camdbench.run(config="../asked.yaml", out="run")
    assert set(rows["status"]) == {"ok"}, rows[rows["status"] != "ok"][["model", "explainer", "metric", "reason"]].to_string()
    assert set(rows["model"]) == {"small", "dino"}
    assert set(rows["metric"]) == {"ad", "ag", 'insertion(protocol="rise")'}
    explainers = {"gradcam", "opticam(iterations=2)", "my_cam", "captum:IntegratedGradients(n_steps=2)", "their-cam"}
    assert set(rows["explainer"]) == explainers
    assert len(rows) == 2 * 5 * 3 * len(ids)

    written = Path("run/run.yaml").read_text()
    assert [line.split()[1] for line in written.splitlines()[:3]] == ["python", "camdbench", "torch"]
    assert all(line.split()[2][0].isdigit() for line in written.splitlines()[:3])
    older = written.replace("# torch ", "# torch 0.")
    Path("run/run.yaml").write_text(older)
    again = camdbench.run(config="../asked.yaml", out="run")  # finished: only versions differ
    assert Path("run/run.yaml").read_text() == older
    assert again["value"].tolist() == rows["value"].tolist()


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
