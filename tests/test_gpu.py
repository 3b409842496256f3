"""benchmarks/speed/gpu.py in small on the CPU, and agreement of a GPU with the CPU where there is one (pytest -m gpu)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.speed_tool import speed_module

from camdbench.core.registries import explainers, metrics


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> pd.DataFrame:
    """The script in small on the CPU, and its table."""
    monkeypatch.setattr(sys, "argv", ["gpu", "--small", "--device", "cpu", "--out", str(out), *words])
    speed_module("gpu").main()
    lines = [json.loads(line) for line in (out / "gpu.jsonl").read_text(encoding="utf-8").splitlines()]
    found = pd.read_csv(out / "gpu.csv")
    assert found["part"].tolist() == [line["part"] for line in lines]
    return found


def test_a_small_run_measures_every_kind_of_job_beside_its_limit_and_peers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run(monkeypatch, tmp_path, "--jobs", "Opti-CAM in float32,Grad-CAM,insertion,Max-Sens", "--modes", "fp32,bf16")
    assert found["note"].isna().all()
    ours = found[found["contestant"].str.startswith("camdbench")]
    assert list(zip(ours["part"], ours["mode"], ours["contestant"], strict=True)) == [
        (job, mode, f"camdbench.{door}")
        for mode in ("fp32", "bf16")
        for job, door in (
            ("Opti-CAM in float32", "explain"),
            ("Grad-CAM", "explain"),
            ("insertion and deletion", "evaluate"),
            ("Max-Sensitivity", "run"),
        )
    ]
    assert (ours["limit"] > 0).all()
    assert (ours["seconds"] / ours["limit"] / ours["ratio"] - 1).abs().max() < 1e-3
    assert (ours["largest_pass"] >= 2).all()
    peers = found[(found["part"] == "Grad-CAM") & ~found["contestant"].str.startswith("camdbench")]
    assert [name.split()[0] for name in peers["contestant"]] == ["grad-cam", "torchcam", "captum"]
    assert (found.loc[found["part"] == "agreement with the CPU", "difference"] == 0).all()
    assert json.loads((tmp_path / "machine.json").read_text(encoding="utf-8"))["torch"] == torch.__version__


def test_what_fails_and_what_no_time_is_left_for_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run(monkeypatch, tmp_path / "late", "--budget", "0", "--jobs", "Grad-CAM", "--modes", "fp32")
    assert found["note"].tolist() == ["no time was left"] * 3  # agreement, bare passes and the job
    monkeypatch.setitem(sys.modules, "torchcam", None)
    monkeypatch.setattr(speed_module("contestants"), "_explain", lambda work: 1 / 0)
    found = run(monkeypatch, tmp_path / "broken", "--jobs", "Grad-CAM", "--modes", "fp32")
    lines = found[found["part"] == "Grad-CAM"]
    notes = [note if isinstance(note, str) else "" for note in lines["note"]]
    assert dict(zip(lines["contestant"].str.split().str[0], notes, strict=True)) == {
        "camdbench.explain": "ZeroDivisionError: division by zero",
        "grad-cam": "",
        "captum": "",
        "torchcam": "not installed (torchcam): pip install torchcam",
    }


def test_the_plan_measures_the_passes_of_a_network_before_its_jobs() -> None:
    tool: Any = speed_module("gpu_jobs")
    given: Any = type("Given", (), {"jobs": "", "small": False, "networks": ",".join(tool.NETWORKS), "modes": ",".join(tool.MODES)})
    parts = tool.plan(given)
    assert [part.name for part in parts[: 1 + len(tool.JOBS)]] == ["bare passes", *(job.name for job in tool.JOBS)]
    assert len(parts) == 3 * 3 * (1 + len(tool.JOBS))
    names = {part.network: part.job.explainers for part in parts if part.job and part.name.endswith("CAMs")}
    assert names["resnet50"] == f"cam,{names['vit_b_16']}" == f"cam,{names['vgg16_bn']}"
    for part in parts:
        assert part.job is None or explainers.parse(part.job.explainers)
        assert part.job is None or not part.job.metrics or metrics.parse(part.job.metrics)


def test_a_difference_that_is_no_number_is_no_agreement() -> None:
    agreement = speed_module("agreement").Agreement
    assert [agreement("a", value, 0.1).holds for value in (0.1, 0.2, float("nan"))] == [True, False, False]


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_maps_metrics_and_imputation_on_a_gpu_are_those_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.backends.cudnn.allow_tf32 = False
    found = list(speed_module("agreement").agreement("cuda"))
    assert len(found) > 20
    assert [own for own in found if not own.holds] == []
