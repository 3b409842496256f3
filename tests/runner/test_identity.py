"""Whatever changes in what a user brings makes another run; what does not change resumes, from another process and folder too."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from helpers.processes import command_elsewhere
from helpers.toys import toy_batch, toy_classifier
from PIL import Image
from torch import nn

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.models.classifier import Classifier
from camdbench.models.network_identity import network_code, same_probe
from camdbench.tables.pool import load_pooled

OWN = """
import torch
from torch import nn
from camdbench import explainer, metric, model
from camdbench.models.classifier import Classifier
from beside import GAIN


def scaled(factor):
    return lambda x: factor * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)
        self.scale, self._gain = scaled(1.5), 2.5
        self.register_buffer("shift", torch.full((3,), 0.5), persistent=False)

    def forward(self, x):
        return GAIN * self._gain * self.head(self.scale(self.act(self.conv(x))).mean((2, 3))) + self.shift


@model("mine", paper="own", dataset="own")
def mine():
    'A network.'
    torch.manual_seed(0)
    return Classifier(Net(), "act", mean=0.5, std=0.25, name="mine", channels="rgb", preprocess=None)
"""
SCORES = """
from camdbench import explainer, metric


@explainer("bright", paper="own")
def bright(trace):
    'Brightness.'
    return 1 * trace.images.mean(1)
"""
METRIC = """
from camdbench import metric


@metric("bright", paper="own", higher_is_better=True, unit="", tolerance=0.1)
def bright(inputs):
    'Brightness.'
    return 1 * inputs.images.mean((1, 2, 3))
"""
CHANGES = {
    "mean": ("own.py", "mean=0.5", "mean=0.4", "mean of mine|other code"),
    "activation": ("own.py", "nn.ReLU()", "nn.Tanh()", "network mine of other code"),
    "closure": ("own.py", "scaled(1.5)", "scaled(1.7)", "network mine of other code"),
    "buffer": ("own.py", "(3,), 0.5", "(3,), 0.7", "weights_hash of mine"),
    "neighbour": ("further.py", "2.0", "3.0", "network mine of other code"),
    "channels": ("own.py", '"rgb"', '"bgr"', "other code|channels of mine"),
    "explainer": ("scores.py", "1 *", "2 *", "code of explainer bright"),
    "metric of its name": ("metric.py", "1 *", "2 *", "code of metric bright"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "scores.py").write_text(SCORES)
    (tmp_path / "metric.py").write_text(METRIC)
    (tmp_path / "beside.py").write_text("from further import GAIN\n")
    (tmp_path / "further.py").write_text("GAIN = 2.0\n")
    draw = np.random.default_rng(0)
    for index in range(4):
        file = tmp_path / "photos" / "abc"[index % 3] / f"{index}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file)
    return tmp_path


def run(root: Path, **more: Any) -> None:
    plugins = [str(root / name) for name in ("own.py", "scores.py", "metric.py")]
    options = {"plugins": plugins, "models": "mine", "explainers": "bright", "metrics": "ad,bright", "device": "cpu", "workers": 0}
    options |= {"dataset": "folder(size=32)", "data_root": root / "photos", "out": root / "r"}
    camdbench.run(config=options | more)


def sessions(folder: Path) -> int:
    return len(list((folder / "sessions").iterdir()))


def test_each_change_of_a_users_file_is_refused(root: Path, subtests: pytest.Subtests) -> None:
    run(root)
    for name, (file, before, after, message) in CHANGES.items():
        with subtests.test(name):
            text = (root / file).read_text()
            assert before in text
            (root / file).write_text(text.replace(before, after))
            try:
                with pytest.raises(UsageError, match=f"--out = .*holds a run with .*({message})"):
                    run(root)
            finally:
                (root / file).write_text(text)
    run(root)
    assert sessions(root / "r") == 1
    picture = root / "photos" / "b" / "1.bmp"
    before = picture.stat()
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(picture)
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (picture.stat().st_size, picture.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(UsageError, match="holds a run with data "):
        run(root)


def test_nothing_changed_resumes_from_another_process_and_folder(root: Path) -> None:
    run(root)
    (root / "elsewhere").mkdir()
    words = [word for name in ("own.py", "scores.py", "metric.py") for word in ("--plugin", str(root / name))]
    words += ["--models", "mine", "-e", "bright", "-m", "ad,bright", "--device", "cpu", "--workers", "0", "--dataset", "folder(size=32)"]
    words += ["--data-root", str(root / "photos"), "--out", str(root / "r")]
    again = command_elsewhere(["run", *words], root / "elsewhere")
    assert again.code == 0, again.err
    assert sessions(root / "r") == 1
    assert np.isfinite(json.loads((root / "r" / "run.json").read_text())["models"]["mine"]["probe"]).all()


class Scaled:
    """An explainer as an object."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, trace: Any) -> torch.Tensor:
        return trace.images.mean(1) * self.factor

    def method(self, trace: Any) -> torch.Tensor:
        return self(trace)


def closed_over(factor: float) -> Any:
    return lambda trace: trace.images.mean(1) * factor


def powered(trace: Any, *, power: float = 1.0) -> torch.Tensor:
    return trace.images.mean(1) ** power


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """Explainers that differ in what they hold, of which all code is equal."""
    yield "instance", Scaled(3), Scaled(4)
    yield "method", Scaled(3).method, Scaled(4).method
    yield "closure", closed_over(3), closed_over(4)
    yield "partial", partial(powered, power=2.0), partial(powered, power=3.0)
    yield "captum(…)", camdbench.captum("IntegratedGradients", n_steps=3), camdbench.captum("IntegratedGradients", n_steps=4)


def test_what_an_object_holds_is_part_of_the_run(tmp_path: Path, subtests: pytest.Subtests) -> None:
    options: dict[str, Any] = {"metrics": "ad", "models": {"toy": toy_classifier()}, "dataset": InMemoryDataset(toy_batch(2))}
    for name, first, second in pairs():
        with subtests.test(name):
            for _ in range(2):
                camdbench.run({"mine": first}, out=tmp_path / name, **options)
            assert sessions(tmp_path / name) == 1
            with pytest.raises(UsageError, match="code of explainer mine"):
                camdbench.run({"mine": second}, out=tmp_path / name, **options)


def test_settings_and_layers_of_objects_of_captum_are_part_of_the_run(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    options: dict[str, Any] = {"metrics": "ad", "models": {"toy": Classifier(network, "1", mean=0.5, std=0.5)}}
    options |= {"dataset": InMemoryDataset(toy_batch(2))}
    cases = [LayerGradCam(network, network[1]), LayerGradCam(network, network[2])]
    cases += [IntegratedGradients(network), IntegratedGradients(network, multiply_by_inputs=False)]
    camdbench.run({"mine": cases[0]}, out=tmp_path / "r", **options)
    camdbench.run({"mine": LayerGradCam(network, network[1])}, out=tmp_path / "r", **options)
    assert sessions(tmp_path / "r") == 1
    for other in cases[1:]:
        with pytest.raises(UsageError, match="code of explainer mine"):
            camdbench.run({"mine": other}, out=tmp_path / "r", **options)


FACTS = [("channels", "bgr"), ("preprocess", "fit(size=16)"), ("precision", "bf16"), ("output", "logits")]


@pytest.mark.filterwarnings("ignore:toy. precision = bf16. logits:camdbench.core.errors.CamdbenchWarning")
@pytest.mark.parametrize(("fact", "change"), FACTS)
def test_facts_of_a_classifier_are_part_of_the_run_and_of_pooling(tmp_path: Path, fact: str, change: str) -> None:
    def own(**facts: Any) -> dict[str, Any]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        return {"models": {"toy": Classifier(network, "1", mean=0.5, std=0.5, **facts)}, "dataset": InMemoryDataset(toy_batch(2))}

    camdbench.run("gradcam", "ad", out=tmp_path / "a", **own())
    if fact == "output":  # the default
        camdbench.run("gradcam", "ad", out=tmp_path / "a", **own(output="logits"))
        assert sessions(tmp_path / "a") == 1
        return
    with pytest.raises(UsageError, match=rf"holds a run with {fact}( of toy)? \w+, not {re.escape(change)}"):
        camdbench.run("gradcam", "ad", out=tmp_path / "a", **own(**{fact: change}))
    camdbench.run("fakecam", "ad", out=tmp_path / "b", **own(**{fact: change}))
    with pytest.raises(UsageError, match=f"cannot be pooled: .*{fact}"):
        load_pooled([tmp_path / "a", tmp_path / "b"])


def test_a_network_states_its_activation_and_hooks_and_an_equal_one_is_equal() -> None:
    def built(activation: type[nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), activation())

    hooked = built(nn.ReLU)
    hooked[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    codes = [network_code(own) for own in (built(nn.ReLU), built(nn.ReLU), built(nn.Tanh), hooked)]
    assert (codes[0] == codes[1], len(set(codes))) == (True, 3)
    assert same_probe([[0.0, 1.0]], [[0.0, 1.0005]])
