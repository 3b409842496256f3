"""Executors: workers elsewhere give the rows that this process gives."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.toys import toy_batch, toy_classifier
from PIL import Image

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.resources import Resources

REQUEST: dict[str, Any] = {"explainers": "gradcam,random", "metrics": "ad,ag", "limit": 70, "device": "cpu"}


OWN = """
import torch
from torch import nn
from camdbench import Classifier

def small(width: int = 4):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 8)
    return Classifier(nn.Sequential(*layers), "1", mean=0.5, std=0.25)

def first(trace, *, count: int = 1):
    return trace.activations[:, :count].sum(1)

def inside(classifier, images, maps, targets, *, power: int = 1):
    return maps.mean((1, 2)) ** power

def pictures():
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 32, 32, generator=generator), index % 8) for index in range(40)]
"""


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its start and end
def test_a_ray_cluster_gives_the_rows_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "explainers": "gradcam,random,own.py:first(count=2),three=own.py:first(count=3),short=opticam(iterations=2)",
        "metrics": "ad,ag,own.py:inside(power=2)",
        "models": "shortcuts-ce,mine=own.py:small(width=6)",
        "dataset": "own.py:pictures",
        "device": "cpu",
    }
    alone = camdbench.run(out="alone", **given)
    together = camdbench.run(out="together", executor="ray", **given)
    pd.testing.assert_frame_equal(alone.drop(columns="run"), together.drop(columns="run"))
    assert set(alone["status"]) <= {"ok", "constant_map"}


def test_without_ray_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = builtins.__import__

    def without_ray(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UsageError, match=r'pip install "camdbench\[ray\]"'):
        camdbench.run(out=tmp_path, executor="ray", **REQUEST)


def test_an_unknown_executor_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no executor 'rey'; did you mean 'ray'"):
        camdbench.run(out=tmp_path, executor="rey", **REQUEST)


def test_a_worker_in_another_folder_finds_all_that_was_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    for name in ("data/images/a", "masks", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(3):
        picture = Image.fromarray(random.integers(0, 255, (96, 96, 3), dtype=np.uint8))
        picture.save(tmp_path / "data" / "images" / "a" / f"{number}.png")
        (tmp_path / "masks" / "a").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255 * np.tri(96))).save(tmp_path / "masks" / "a" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    request = check_config(RunConfig("gradcam", "ad", dataset="folder(masks='masks', size=96)", data_root="data"))
    state = pickle.dumps(Resources().bind(request).with_absolute_paths())
    monkeypatch.chdir(tmp_path / "elsewhere")
    there: Resources = pickle.loads(state)
    masks = [there.images[index].mask for index in range(3)]
    assert all(mask is not None and mask.float().mean() == pytest.approx(0.5, abs=0.02) for mask in masks)
    assert str(there.checked_request.dataset) == str(request.dataset)  # what stands in rows is what was asked for


class Local(camdbench.Classifier):
    """A classifier that cannot be pickled, as one with a lambda."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a lambda")


def own(trace: Any) -> Any:
    return trace.activations.sum(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"explainers": own}, "explainer own is an object of this session, which workers cannot load; give FILE.py:NAME"),
        ({"explainers": {"mine": own}}, "explainer mine is an object"),
        ({"metrics": {"mine": lambda inputs: inputs.saliency.mean((1, 2))}}, "metric mine is an object"),
        ({"models": {"mine": "local"}}, r"model mine cannot be pickled \(cannot pickle a lambda\); give FILE.py:NAME, or use"),
        ({"dataset": "local"}, "dataset memory cannot be pickled"),
    ],
)
def test_a_live_object_that_a_worker_cannot_have_is_refused_before_a_folder_is_made(tmp_path: Path, given: dict[str, Any], message: str):
    toy, data = toy_classifier(), InMemoryDataset(toy_batch(2))
    if given.get("models"):
        given = {"models": {"mine": Local(toy.network, "relu2", mean=0.5, std=0.25)}}
    if given.get("dataset"):
        data.fingerprint = lambda: "1"  # pyright: ignore[reportAttributeAccessIssue]
        given = {"dataset": data}
    options = {"explainers": "gradcam", "metrics": "ad", "models": {"toy": toy}, "dataset": data, **given}
    with pytest.raises(UsageError, match=f"--executor ray: {message}") as refused:
        camdbench.run(out=tmp_path / "run", executor="ray", **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
