"""benchmarks/speed, results/speed.csv and docs/speed.md: limits by the page of passes, peers named, and a smoke run."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.speed_tool import FOLDER, speed_module

import camdbench
from camdbench.core.registries import explainers, metrics

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", name="tool")
def speed_tool() -> dict[str, ModuleType]:
    return {name: speed_module(name) for name in ("jobs", "paces", "passes", "page", "measuring", "peers", "rounds", "without_network")}


def test_jobs_name_explainers_metrics_and_peers_that_exist(tool: dict[str, ModuleType]) -> None:
    jobs = tool["jobs"].JOBS
    assert len({job.name for job in jobs}) == len(jobs)
    for job in jobs:
        assert explainers.parse(job.explainers)
        assert not job.metrics or metrics.parse(job.metrics)
        assert set(job.peers) <= set(tool["peers"].PEERS)
        assert job.network in tool["jobs"].ROUNDS
        assert job.count % job.batch == 0


def test_the_pace_of_a_pass_is_that_of_the_best_batch_size(tool: dict[str, ModuleType]) -> None:
    seconds = {
        "forward 1": 1.0,
        "forward 4": 2.0,
        "forward 16": 16.0,
        "both 1": 5.0,
        "both 8": 16.0,
        "tail backward 8": 0.8,
        "replay 16": 5.0,
    }
    found = tool["paces"].best_paces(seconds)
    assert found == pytest.approx((0.5, 1.5, 0.25, 0.1))  # replay: (5 - 1) / 16


def test_the_limit_is_passes_times_paces_and_passes_in_float64_have_theirs(tool: dict[str, ModuleType]) -> None:
    passes = tool["passes"].Passes
    needed, double = passes(12, 10, 3, 2), passes(11, 10)
    single_pace, double_pace = passes(1, 2, 0.5, 0.25), passes(4, 8)
    assert tool["paces"].limit(needed, double, single_pace, double_pace) == pytest.approx(1 * 1 + 3 * 0.5 + 2 * 0.25 + 11 * 4 + 10 * 8)


def test_a_search_in_float64_has_one_pass_in_float32(tool: dict[str, ModuleType]) -> None:
    specs = explainers.parse('opticam(iterations=10),gradcam,opticam(search_dtype="network")')
    assert tool["paces"].in_float64(specs, {}) == (1 + 10, 10, 0, 0)


def test_bare_passes_are_of_the_network(tool: dict[str, ModuleType]) -> None:
    classifier = tool["paces"].network("tiny")
    seen = list[int]()
    handle = classifier.network.register_forward_hook(lambda _, given, output: seen.append(max(len(given[0]), len(output))))
    batches = {"forward": (1, 4), "both": (2,)}
    passes = tool["paces"].passes_of_network(classifier, 32, double=False, batches=batches)
    seen.clear()
    results = {name: one_pass() for name, one_pass in passes.items()}
    handle.remove()
    assert seen == [1, 4, 2, 16]  # and a tail backward pass of the graph that exists
    assert results["both 2"][0].shape == (2, 3, 32, 32)
    assert results["tail backward 2"][0].abs().sum() > 0


def test_lines_hold_medians_of_both_processes_and_ratios_to_the_faster_pass(tool: dict[str, ModuleType]) -> None:
    job = tool["jobs"].Job("a", "tiny", 32, 2, "gradcam", peers=("lime",))
    needed = {"evaluate": (1, 0, 0, 0), "maps and metrics": (1, 0, 0, 1), "float64": (0, 0, 0, 0)}
    facts = {"needed": {"a": needed}, "missing": {"a": {"lime": "not installed (lime): pip install lime"}}}

    def both(*seconds: float) -> dict[str, list[float]]:
        return {"wall": list(seconds), "processor": [2 * each for each in seconds]}

    seconds = {
        ("default", "float32", "forward 1"): both(3.0, 3.0),
        ("reuse", "float32", "forward 1"): both(1.0, 1.0, 9.0),
        ("default", "a", "explain"): both(6.0),
        ("reuse", "a", "explain"): both(2.0, 4.0, 99.0),
    }
    lines = list(tool["measuring"].lines_of([job], facts, seconds))
    assert [(line["allocator"], line.get("wall_ratio"), line.get("processor_ratio")) for line in lines] == [
        ("default", 3.0, 3.0),
        ("reuse", 2.0, 2.0),
        ("default", None, None),
    ]
    assert "lime: not installed (lime): pip install lime" in tool["page"].ratio_table(pd.DataFrame(lines))


def test_a_missing_peer_is_named(tool: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcam", None)
    work = tool["paces"].work_of(tool["jobs"].Job("a", "tiny", 32, 1, "gradcam", peers=("torchcam", "captum")))
    found, missing = speed_module("contestants").others(work)
    assert [name.split()[0] for name in found] == ["captum"]
    assert missing == {"torchcam": "not installed (torchcam): pip install torchcam"}


@pytest.mark.filterwarnings("ignore::camdbench.core.errors.CamdbenchWarning")  # curves of small images have few points
@pytest.mark.parametrize("job", ["Grad-CAM, a batch", "insertion and deletion", "ROAD", "AOPC", "infidelity"])
def test_every_contestant_of_a_job_runs(tool: dict[str, ModuleType], job: str) -> None:
    [quick] = [own for own in tool["jobs"].chosen(job, quick=True) if own.name == job]
    group = tool["rounds"].Group([quick], quick=True, with_peers=True)
    names = {name.split()[0] for own, name, measured in group.round() if own == job and measured.wall > 0}
    assert group.facts()["missing"] == {job: {}}
    assert names > set(quick.peers)
    assert names & {"explain", "evaluate"}
    assert "run" in names


def test_peers_take_the_same_images_to_the_same_maps(tool: dict[str, ModuleType]) -> None:
    work = tool["paces"].work_of(tool["jobs"].Job("a", "tiny", 32, 2, "gradcam", peers=("captum",)))
    [theirs] = tool["peers"].PEERS["captum"](work)()
    ours = camdbench.explain(work.classifier, work.images, "gradcam(relu=False)", targets=work.labels).raw
    assert torch.allclose(theirs[:, 0].detach(), torch.as_tensor(ours), atol=1e-6)


def test_a_large_run_has_other_values_for_every_image(tool: dict[str, ModuleType], tmp_path: Path) -> None:
    run = tool["without_network"].large_run(tmp_path, 50)
    found = camdbench.compare(run)
    assert set(found["n"]) == {50}
    assert len(found) == 4 * 6
    assert np.ptp(camdbench.load_rows(run)["value"]) > 0.9


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_the_linear_system_has_grad_cams_solution(tool: dict[str, ModuleType]) -> None:
    ours, theirs = tool["without_network"].imputation(32, 1)
    assert (ours.contestant, theirs.contestant) == ("camdbench", "grad-cam")
    assert float(theirs.note.split()[-1]) <= 1e-4


class InProcess:
    """A process that answers within this one."""

    def __init__(self, allocator: str, threads: int) -> None:
        assert threads == 1
        self.allocator, self.asked = allocator, list[str]()

    def ask(self, **request: Any) -> Any:
        if "words" in request:
            self.answers = speed_module("rounds").answers(iter(self.asked.pop, None), with_peers=self.allocator == "default")
        self.asked.append(json.dumps(request))
        return json.loads(json.dumps(next(self.answers)))

    def close(self) -> None:
        self.answers.close()


def test_a_smoke_run_measures_both_settings_and_writes_json_alone(
    tool: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (ROOT / "results" / "speed.csv").read_bytes()
    monkeypatch.setattr(tool["measuring"], "Child", InProcess)
    monkeypatch.setattr(sys, "argv", ["speed", "--quick", "--jobs", "randomisation of,logit", "--json", str(tmp_path / "speed.json")])
    main = runpy.run_path(str(FOLDER / "__main__.py"))["main"]
    main()
    found = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert {"cpu", "instructions", "threads", "torch", "peers"} <= set(found["machine"])
    assert [(line["job"], line["contestant"], line["allocator"], line["forward"]) for line in found["lines"]] == [
        ("random logit of four CAMs", "run", "default", 1),
        ("random logit of four CAMs", "run", "reuse", 1),
        ("randomisation of four CAMs", "run", "default", 1 + 4),  # four layers with weights
        ("randomisation of four CAMs", "run", "reuse", 1 + 4),
    ]
    assert all(0 < line["wall_limit"] < line["wall_seconds"] for line in found["lines"])
    assert "| randomisation of four CAMs | tiny |" in capsys.readouterr().out
    assert (ROOT / "results" / "speed.csv").read_bytes() == before
    monkeypatch.setattr(sys, "argv", ["speed", "--jobs", "nonsense"])
    with pytest.raises(SystemExit):
        main()
    assert re.search(r"--jobs nonsense: no job .* Score-CAM", capsys.readouterr().err)


def test_a_process_answers_in_json_whatever_is_printed(tool: dict[str, ModuleType]) -> None:
    child = tool["measuring"].Child("reuse", 1)
    facts = child.ask(words="random logit", quick=True, network="tiny")
    measured = child.ask()
    child.close()
    assert list(facts["needed"]) == ["random logit of four CAMs"]
    assert [job for job, _, _ in measured][-1] == "random logit of four CAMs"


def test_the_page_prints_the_file(tool: dict[str, ModuleType], tmp_path: Path) -> None:
    lines, page = pd.read_csv(ROOT / "results" / "speed.csv"), tmp_path / "speed.md"
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    tool["page"].write_page(lines, page)
    assert page.read_text(encoding="utf-8") == text
    assert tool["page"].ratio_table(lines) in text
    assert set(lines["job"].dropna()) >= {job.name for job in tool["jobs"].JOBS}
