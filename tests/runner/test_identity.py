"""Whatever changes in the files of a user makes another run; what does not change resumes, from another process and folder too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NETWORK = """
import torch
from torch import nn
from camdbench import explainer, model
from camdbench.models.classifier import Classifier
from beside import GAIN


def scaled(factor):
    return lambda x: factor * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)
        self.scale = scaled(1.5)
        self.register_buffer("shift", torch.full((3,), 0.5), persistent=False)

    def forward(self, x):
        return GAIN * self.head(self.scale(self.act(self.conv(x))).mean((2, 3))) + self.shift


@model("mine", paper="own", dataset="own")
def mine():
    'A network.'
    torch.manual_seed(0)
    return Classifier(Net(), "act", mean=0.5, std=0.25, name="mine")


@explainer("bright", paper="own")
def bright(trace):
    'Brightness.'
    return trace.images.mean(1)
"""


def write(root: Path) -> None:
    (root / "own.py").write_text(NETWORK)
    (root / "beside.py").write_text("from further import GAIN\n")
    (root / "further.py").write_text("GAIN = 2.0\n")
    draw = np.random.default_rng(0)
    for index in range(6):
        file = root / "photos" / "abc"[index % 3] / f"{index}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file)


def run(root: Path, *more: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    own = ["--plugin", str(root / "own.py"), "--models", "mine", "--explainers", "bright", "--metrics", "ad", "--device", "cpu"]
    data = ["--dataset", "folder(size=32)", "--data-root", str(root / "photos"), "--workers", "0"]
    where = {"cwd": cwd or root, "env": os.environ | {"COLUMNS": "400"}}
    return subprocess.run(
        [sys.executable, "-m", "camdbench", "run", *own, *data, *more], capture_output=True, text=True, check=False, **where
    )


CHANGES = {
    "mean": ("own.py", "mean=0.5", "mean=0.4", "mean of mine|other code"),
    "activation": ("own.py", "nn.ReLU()", "nn.Tanh()", "network mine of other code"),
    "closure": ("own.py", "scaled(1.5)", "scaled(1.7)", "network mine of other code"),
    "buffer": ("own.py", "(3,), 0.5", "(3,), 0.7", "weights_hash of mine"),
    "neighbour": ("further.py", "2.0", "3.0", "network mine of other code"),
}


def test_each_change_of_an_own_network_is_refused(tmp_path: Path, subtests: pytest.Subtests) -> None:
    write(tmp_path)
    first = run(tmp_path, "--out", str(tmp_path / "r"))
    assert first.returncode == 0, first.stderr
    for name, (file, before, after, message) in CHANGES.items():
        with subtests.test(name):
            text = (tmp_path / file).read_text()
            assert before in text
            (tmp_path / file).write_text(text.replace(before, after))
            second = run(tmp_path, "--out", str(tmp_path / "r"))
            (tmp_path / file).write_text(text)
            assert second.returncode == 2, second.stdout
            assert re.search(message, second.stderr), second.stderr


def test_nothing_changed_resumes_elsewhere_and_a_picture_of_equal_size_does_not(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    assert run(tmp_path, "--out", str(tmp_path / "r")).returncode == 0
    again = run(tmp_path, "--out", str(tmp_path / "r"), cwd=tmp_path / "elsewhere")
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "r" / "sessions").iterdir())) == 1
    probe = json.loads((tmp_path / "r" / "run.json").read_text())["models"]["mine"]["probe"]
    assert np.isfinite(probe).all()
    picture = tmp_path / "photos" / "b" / "1.bmp"
    size = picture.stat().st_size
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(picture)
    assert picture.stat().st_size == size
    refused = run(tmp_path, "--out", str(tmp_path / "r"))
    assert refused.returncode == 2
    assert "holds a run with data " in refused.stderr
