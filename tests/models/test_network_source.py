"""Networks of the user's in `train`: a reference and an object yield the weights of the same network by name, and are loaded again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.models.zoo import load_classifier
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.run_state import Epoch

CODE = """
from camdbench import Classifier
from helper import small
from camdbench.models.networks import build_network, input_of
from camdbench.models.shortcuts_net import LAYER
from torch import nn

def shortcuts(classes):
    spec = input_of("shortcuts")
    return Classifier(build_network("shortcuts", classes), LAYER, mean=spec.mean, std=spec.std)

def own(classes, *, width: int = 4):
    return Classifier(small(classes, width), "2", mean=0.5, std=0.25, channels="bgr")

def ten():
    return Classifier(small(10, 4), "2", mean=0, std=1)

def bare(classes):
    return small(classes, 4)
"""
HELPER = """
from torch import nn

def small(classes, width):
    return nn.Sequential(nn.Conv2d(3, width, 3, 4), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(width, classes))
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "helper.py").write_text(HELPER)
    file = tmp_path / "own" / "nets.py"
    file.write_text(CODE)
    return file


def recipe(**more: Any) -> TrainingRecipe:
    data = {"dataset": "shortcuts(size=32, classes=3)", "limit": 8, "evaluation_limit": 2}
    return check_recipe({"name": "tiny", "data": data, "epochs": 1, "batch_size": 4, **more}, "tiny")


def train(out: Path, plan: TrainingRecipe | None = None, **options: Any) -> Path:
    return camdbench.train(plan or recipe(), out=out, device="cpu", **options)


def test_a_reference_and_an_object_yield_the_weights_of_the_network_by_name(tmp_path: Path, nets: Path):
    expected = load_file(train(tmp_path / "name"))
    torch.manual_seed(0)
    made = camdbench.classifier(f"{nets}:shortcuts(classes=3)")
    before = made.weights_hash()
    for number, network in enumerate([f"{nets}:shortcuts", made]):
        found = load_file(train(tmp_path / str(number), network=network))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], own) for name, own in expected.items()), number
    assert made.weights_hash() == before  # a copy was trained
    with pytest.raises(UsageError, match="its network was an object of a Python session; give that object its weights with load_state"):
        load_classifier(str(tmp_path / "1" / "tiny.safetensors"))


def test_a_checkpoint_makes_its_network_again_unless_its_file_is_gone_or_changed(tmp_path: Path, nets: Path):
    plan = nets.parent / "recipe.yaml"
    fields = recipe().model_dump(mode="json") | {"network": "nets.py:own(width=5)", "loss": "energy(weight=0.1)"}
    plan.write_text(json.dumps(fields))
    out = tmp_path / "out"
    words = ["train", "--recipe", str(plan), "--out", str(out), "--device", "cpu", "-q", "--preview-images", "1"]
    assert run_cli(words) == 0
    path, facts = out / "tiny.safetensors", json.loads((out / "tiny.json").read_text())
    assert (facts["network"], facts["recipe"]["network"]) == (f"{nets}:own(width=5)",) * 2
    found = load_classifier(str(path), device="cpu")
    assert (found.layer, found.channels, found.class_names, found.input_size) == ("2", "bgr", tuple(facts["classes"]), 32)
    assert (found.mean.flatten().tolist(), found.std.flatten().tolist()) == ([0.5] * 3, [0.25] * 3)
    weights, image = load_file(path), torch.rand(1, 3, 32, 32)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, 4), nn.ReLU(), nn.Conv2d(5, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
    )
    network.load_state_dict(weights)
    torch.testing.assert_close(found(image), network(((image - 0.5) / 0.25).flip(1)))
    again = load_file(train(out / "more", recipe(network=f"{nets}:own(width=5)", init=str(path), optimiser={"lr": 1e-12})))
    torch.testing.assert_close(again["0.weight"], weights["0.weight"])
    options = ["--dataset", "shortcuts(size=32, classes=3)", "--limit", "2", "--explainers", "gradcam", "--metrics", "ad", "-q"]
    assert run_cli(["run", "--models", str(path), *options, "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    (nets.parent / "helper.py").write_text(HELPER.replace("nn.ReLU()", "nn.GELU()"))
    with pytest.raises(UsageError, match=r"own\(width=5\): its code changed since the training; undo the change or train again"):
        load_classifier(str(path))
    nets.rename(nets.with_name("other.py"))
    with pytest.raises(UsageError, match=rf"checkpoint {path}: network {nets}:own\(width=5\): no such file; move it back"):
        load_classifier(str(path))


def test_a_run_resumes_unless_the_code_of_its_network_changed(tmp_path: Path, nets: Path):
    class StopTrainingError(Exception): ...

    def first_epochs(code: str) -> list[int]:
        (nets.parent / "helper.py").write_text(code)
        seen = list[int]()

        def stop(line: Epoch) -> None:
            seen.append(line.epoch)
            raise StopTrainingError

        with pytest.raises(StopTrainingError):
            train(tmp_path / "out", recipe(epochs=9, network=f"{nets}:own"), progress=stop)
        return seen

    changed = HELPER.replace("nn.ReLU()", "nn.GELU()")
    assert [first_epochs(code) for code in (HELPER, HELPER, changed, changed)] == [[1], [2], [1], [2]]


def test_pretraining_is_made_again_if_the_code_changed(tmp_path: Path, nets: Path):
    times, plan = list[int](), recipe(network=f"{nets}:own", pretraining={"seed": 3})
    for code in (HELPER, HELPER, HELPER.replace("nn.ReLU()", "nn.GELU()")):
        (nets.parent / "helper.py").write_text(code)
        train(tmp_path / "out", plan)
        times.append((tmp_path / "out" / "tiny-pretraining.json").stat().st_mtime_ns)
    assert (times[0] == times[1], times[1] == times[2]) == (True, False)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("{nets}:ten", "network=nets.py:ten: 10 logits for 3 classes; give its function a parameter `classes`"),
        ("{nets}:bare", "network bare: mean and std are unknown; return camdbench.Classifier"),
        ("{nets}:none", "nets.py:none: no such name"),
        ("gone.py:own", "network gone.py: no such file"),
        ("mine={nets}:own", "the recipe states the name; omit mine="),
        ("subprocess:run(args='true')", "a checkpoint needs a file of yours; give FILE.py:NAME"),
        ("object of a Python session", "it has no file; give it to camdbench.train"),
        (3, "int; expected an nn.Module"),
    ],
)
def test_a_wrong_network_is_one_line_and_makes_no_folder(tmp_path: Path, nets: Path, network: Any, message: str):
    given = network.format(nets=nets) if isinstance(network, str) else network
    with pytest.raises(UsageError) as refused:
        train(tmp_path / "out", network=given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="surgery: not supported"):
        recipe(network="resnet.py:own", surgery={})
