"""Losses of the user's in `train`: each form of cross-entropy yields the weights of the registered one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.each import each
from safetensors.torch import load_file
from torch import Tensor, nn

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError
from camdbench.core.registries import losses
from camdbench.trainer.recipe import TrainingRecipe, check_recipe

CODE = """
import torch.nn.functional as F
from torch import nn
from camdbench import LossResult

def of_logits(logits, labels, *, factor: float = 1.0):
    return factor * F.cross_entropy(logits, labels, reduction="none")

def of_step(step):
    return LossResult(of_logits(step.logits, step.known_labels), {}, step.logits)

class Smooth(nn.CrossEntropyLoss):
    def __init__(self, smoothing: float = 0.1):
        super().__init__(label_smoothing=smoothing)
"""


def recipe(**more: Any) -> TrainingRecipe:
    data = {"dataset": "shortcuts(size=32, classes=3)", "limit": 8, "evaluation_limit": 2}
    return check_recipe({"name": "tiny", "data": data, "epochs": 1, "batch_size": 4, **more}, "tiny")


def train(out: Path, loss: Any = None, **more: Any) -> dict[str, Tensor]:
    return load_file(camdbench.train(recipe(**more), loss=loss, out=out, device="cpu"))


def mean(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


def wrong(a: int, b: int) -> None: ...


def three(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[:3].sum(1)


def test_every_form_of_cross_entropy_yields_the_weights_of_the_registered_one(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    expected = train(tmp_path / "ce")
    forms = [mean, nn.CrossEntropyLoss(), F.cross_entropy, f"{file}:of_logits", f"a={file}:of_step", f"{file}:Smooth(smoothing=0.0)"]
    for number, form in enumerate(forms):
        found = train(tmp_path / str(number), form)
        assert all(torch.equal(found[name], own) for name, own in expected.items()), form
    other = train(tmp_path / "other", f"{file}:of_logits(factor=0.5)")
    assert not torch.equal(other["fc.weight"], expected["fc.weight"])
    smooth, of_file = (
        train(tmp_path / "s", nn.CrossEntropyLoss(label_smoothing=0.2)),
        train(tmp_path / "t", f"{file}:Smooth(smoothing=0.2)"),
    )
    registered = train(tmp_path / "u", "ce(smoothing=0.2)")
    for name, own in registered.items():
        torch.testing.assert_close(smooth[name], own, rtol=1e-4, atol=1e-6)
        assert torch.equal(smooth[name], of_file[name])
    facts = json.loads((tmp_path / "3" / "tiny.json").read_text())
    assert (facts["recipe"]["loss"], facts["loss"]["origin"]) == (f"{file}:of_logits", f"{file}:of_logits")
    assert check_recipe(facts["recipe"], "again").loss == f"{file}:of_logits"
    assert "of_logits" not in losses


def test_a_reference_in_a_recipe_is_relative_to_its_folder_and_new_code_trains_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "mine.py"
    file.write_text(CODE)
    text = json.dumps(recipe(pretraining={"epochs": 2}).model_dump(mode="json") | {"loss": "mine.py:of_logits(factor=0.5)"})
    (tmp_path / "own" / "recipe.yaml").write_text(text)
    words = ["train", "--recipe", str(tmp_path / "own" / "recipe.yaml"), "--out", str(tmp_path / "out"), "--device", "cpu", "-q"]
    first, dates = tmp_path / "out" / "tiny-pretraining.json", list[str]()
    for code in (CODE, CODE, CODE.replace("factor * ", "2 * factor * ")):
        file.write_text(code)
        assert run_cli([*words, "--preview-images", "0"]) == 0
        dates.append(json.loads(first.read_text())["loss"]["code"] + str(first.stat().st_mtime_ns))
    assert (dates[0] == dates[1], dates[1] == dates[2]) == (True, False)
    capsys.readouterr()
    assert run_cli([*words, "--loss", f"{file}:none"]) == 2
    assert f"loss {file}:none: no such name; the file defines" in capsys.readouterr().err


@each(
    ("loss", "message"),
    [
        (wrong, r"loss wrong\(a, b\): expected \(step\), \(logits, labels\) or an nn.Module of \(logits, labels\)"),
        (3, "loss int, of type int: expected"),
        (nn.Linear(2, 2), r"loss linear: has weights \(weight\), which are not trained"),
        ("mine=ce", "a loss of camdbench keeps its name; give ce"),
        ("ce,bce", "expected one loss"),
        ("none.py:f", "loss none.py: no such file"),
        ("so(cam='cams.py:f')", "cam takes an explainer of camdbench, whose map is known to be differentiable; write a loss FILE.py:f"),
        (three, r"loss three returned shape \(3,\); expected \(4,\) or \(\) with a gradient"),
        (lambda logits, labels: logits.sum(1).detach(), "without a gradient"),
    ],
)
def test_a_wrong_loss_is_one_line_and_makes_no_folder(tmp_path: Path, loss: Any, message: str):
    with pytest.raises(CamdbenchError, match=message) as refused:
        camdbench.train(recipe(), loss=loss, out=tmp_path / "out", device="cpu")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
