"""A run with optimised models, in rows, record and on the command line; what is resumed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.models.classifier import Classifier
from camdbench.models.optimised import optimised
from camdbench.runner.resources import Resources
from camdbench.runner.working_models import WorkingModels
from camdbench.tables.load import load_run
from camdbench.tables.pool import load_pooled

EXPLAINERS, METRICS = "gradcam,fullgrad,scorecam", "ad,insertion(step=8),randomisation"


def data() -> InMemoryDataset:
    return InMemoryDataset(toy_batch(4))


def own(**facts: Any) -> Classifier:
    classifier = toy_classifier()
    for name, value in facts.items():
        setattr(classifier, name, value)
    return classifier


def run(out: Path, model: Classifier, **options: Any) -> Any:
    return camdbench.run(EXPLAINERS, METRICS, models={"toy": model}, dataset=data(), out=out, batch_size=3, **options)


def effect_of(folder: Path, name: str = "toy") -> dict[str, Any]:
    return load_run(folder)["models"][name].get("effect", {})


@pytest.mark.parametrize("kind", ["layout", "fold", "compile"])
def test_a_run_has_the_values_of_the_plain_one_and_states_the_effect(tmp_path: Path, kind: Any) -> None:
    plain = run(tmp_path / "plain", own())
    assert effect_of(tmp_path / "plain") == {}
    with pytest.warns(CamdbenchWarning, match=f"^toy: optimize = {kind}: logits of the first 3 images differ by at most"):
        rows = run(tmp_path / kind, own(), optimize=kind)
    pairs = list(zip(rows["value"], plain["value"], strict=True))
    torch.testing.assert_close(*map(torch.tensor, zip(*pairs, strict=True)), rtol=1e-3, atol=1e-2)
    model, images = own(), toy_batch(4).images[:3]
    with torch.no_grad():
        first, second = model(images).double(), optimised(model, kind, image_size=(16, 12))(images).double()
    expected = {"precision": "fp32", "optimize": kind, "folded": 0 if kind == "layout" else 1, "images": 3, "same_class": 3}
    expected["logit_difference"] = float(f"{float((first - second).abs().max()):.2e}")
    assert effect_of(tmp_path / kind).items() >= expected.items()
    before, after = load_run(tmp_path / "plain"), load_run(tmp_path / kind)
    assert before["models"]["toy"] == {name: fact for name, fact in after["models"]["toy"].items() if name != "effect"}
    with pytest.raises(UsageError, match=f"holds a run with optimize none, not {kind}"):
        run(tmp_path / "plain", own(), optimize=kind)
    with pytest.raises(UsageError, match=f"cannot be pooled: optimize: none and {kind}"):
        load_pooled([tmp_path / "plain", tmp_path / kind])


def test_a_classifier_that_is_optimised_already_is_the_same_run(tmp_path: Path) -> None:
    with pytest.warns(CamdbenchWarning, match="optimize = fold"):
        first = run(tmp_path / "run", own(), optimize="fold")
    with pytest.warns(CamdbenchWarning, match="optimize = fold"):
        second = run(tmp_path / "run", optimised(own(), "fold", image_size=(16, 12)))
    assert first.equals(second)
    assert len(list((tmp_path / "run" / "sessions").iterdir())) == 1  # nothing was left to do
    with pytest.raises(UsageError, match="--optimize = layout: the models have fold; optimise all alike, or none"):
        run(tmp_path / "other", optimised(own(), "fold"), optimize="layout")
    assert not (tmp_path / "other").exists()


def test_bf16_states_its_effect_and_bf16_all_its_time(tmp_path: Path) -> None:
    for precision in ("bf16", "bf16-all"):
        with pytest.warns(CamdbenchWarning, match=f"^toy: precision = {precision}: logits of the first 3 images differ"):
            run(tmp_path / precision, own(precision=precision))
        effect = effect_of(tmp_path / precision)
        assert 1e-4 < effect["logit_difference"] < 1
        assert ("bf16_time" in effect) == (precision == "bf16-all")
    slow = {"toy": {"effect": effect | {"bf16_time": 3.1}}, "plain": {"effect": {}}, "old": {}}
    (line,) = WorkingModels.effect_lines(slow)
    assert line.endswith("; a forward and backward pass takes 3.1 x the time of fp32: choose bf16 or fp32")
    assert WorkingModels.effect_lines({"toy": {"effect": effect | {"bf16_time": 0.5}}})[0].endswith("takes 0.5 x the time of fp32")


def test_one_copy_is_kept_at_a_time_and_none_is_made_without_the_option() -> None:
    from camdbench.core.settings import make_config
    from camdbench.runner.config import RunConfig, check_config

    def bound(**options: Any) -> Resources:
        models = {"a": own(), "b": optimised(own(), "fold", image_size=(16, 12)) if "optimize" in options else own()}
        resources = Resources(models, data())
        return resources.bind(check_config(make_config(RunConfig, {"explainers": "gradcam", "metrics": "ad"} | options), resources))

    plain, fast = bound(), bound(optimize="fold")
    assert plain.working.classifier("a") is plain.models["a"]
    assert fast.working.classifier("a") is fast.working.classifier("a") is not fast.models["a"]
    assert fast.working.classifier("b") is fast.models["b"]
    assert fast.row_name(fast.working.classifier("a")) == "a"
    assert fast.classifier("b").optimize == "none"


def test_the_command_line_prints_one_line_resumes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    start = ["run", "-e", "gradcam,fullgrad", "-m", "ad", "--limit", "4", "--out", str(out)]
    for _ in range(2):
        assert run_cli([*start, "--optimize", "fold"]) == 0
        printed = capsys.readouterr().err
        assert printed.count("optimize = fold: logits of the first 4 images differ by at most") == 1
        assert "; 11 batch norms are folded" in printed
    assert json.loads((out / "run.json").read_text())["models"]["shortcuts-ce"]["effect"]["folded"] == 11
    assert "optimize: fold" in (out / "run.yaml").read_text()
    for kind, message in (("layout", "holds a run with optimize fold, not layout"), ("fuse", "'fuse' is not one of 'none', 'layout'")):
        assert run_cli([*start, "--optimize", kind]) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert message in printed
    assert run_cli(["explain", "coffee", "-e", "gradcam", "-m", "ad", "--optimize", "layout", "--out", str(tmp_path)]) == 0
    assert "shortcuts-ce: optimize = layout: logits of 2 images differ" in capsys.readouterr().err
