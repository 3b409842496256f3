"""Cells that a segmentation probe fills."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.dataset_layouts import sbd

from camdbench.core.registries import datasets
from camdbench.core.spec import parse_spec
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.jobs import plan
from camdbench.papers.probes import FinishedProbe, ProbeSettings
from camdbench.papers.recipe_files import load_table
from camdbench.papers.reproduce import Reproduction, reproduce
from camdbench.papers.small_scale import small_scale
from camdbench.trainer.probe_recipe import check_probe, read_probe

SBD = """
table: T
summary: s
datasets:
  d: {dataset: 'sbd(size=32, preprocess="resize224_distort")', split: val}
models:
  m: {model: shortcuts-ce}
methods:
  e: {explainer: gradcam}
metrics:
  frozen: {probe: &probe {backbone: frozen, data: {train: train_noval}, optimiser: {lr: 0.01}, epochs: 1, batch_size: 2}}
  trained: {probe: {<<: *probe, backbone: trained}, scale_by: 0.01}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A table of two probes on SBD, and where to reproduce it."""
    home = tmp_path / "recipes" / "mine"
    home.mkdir(parents=True)
    (home / "table1.yaml").write_text(SBD)
    header = "table,dataset,model,method,metric,value,std,higher_is_better"
    (home / "table1.csv").write_text(f"{header}\nT,d,m,e,frozen,50.0,,true\nT,d,m,e,trained,,,true\n")
    monkeypatch.setattr("camdbench.papers.recipe_files.recipe_folder", lambda: tmp_path / "recipes")
    sbd(tmp_path / "data" / "sbd")
    names = [f"2008_{number:06d}" for number in range(2)]
    (tmp_path / "data" / "sbd" / "train_noval.txt").write_text("\n".join(names) + "\n")
    return {"data_root": tmp_path / "data", "device": "cpu", "out": tmp_path / "out"}


@pytest.mark.parametrize("small", [False, True])
def test_every_probe_of_the_recipe_is_one_that_the_command_takes(small: bool) -> None:
    probes = [job.setting for job in plan(load_table("cfce-segmentation"), small=small).jobs if job.setting.probe]
    assert len(probes) == 2 * 4 * (1 if small else 3)
    names = set()
    for setting in probes:
        assert setting.training is not None
        fields = setting.probe.recipe("cfce", "shortcuts-ce", setting.dataset, str(setting.split), 8)
        recipe = check_probe(fields, "it")
        assert datasets.get(parse_spec(recipe.data.dataset).name).facts.on_disk is not small
        assert (recipe.seed, recipe.data.evaluation, recipe.data.evaluation_limit) == (setting.training.fields["seed"], ("val",), 8)
        names.add((setting.training.name, recipe.name))
    assert len(names) == len(probes)
    assert {json.loads(setting.probe.written)["backbone"] for setting in probes} == {"frozen", "trained"}


def test_names_differ_with_whatever_decides_the_number() -> None:
    one = ProbeSettings.of({"backbone": "frozen"}, 0)
    names = {
        probe.recipe("p", model, dataset, split, count)["name"]
        for probe in (one, ProbeSettings.of({"backbone": "trained"}, 0), ProbeSettings.of({"backbone": "frozen"}, 1))
        for model in ("shortcuts-ce", "a/mine.safetensors")
        for dataset in ("shortcuts", "sbd")
        for split in ("val", "train")
        for count in (None, 4)
    }
    assert len(names) == 3 * 2**4
    here, there = (one.recipe("p", f"{folder}/mine.safetensors", "sbd", "val", None) for folder in ("a", "b"))
    assert here["name"] == there["name"]
    assert (here["model"], there["model"]) == ("a/mine.safetensors", "b/mine.safetensors")


def test_small_keeps_the_backbone_and_what_is_counted() -> None:
    small = small_scale(
        CellSettings(dataset="sbd", probe={"backbone": "trained", "background": False, "epochs": 150, "batch_size": 768})
    ).probe
    assert small is not None
    assert (small["backbone"], small["background"]) == ("trained", False)
    assert (small["epochs"], small["batch_size"]) == (6, 8)


def by_metric(done: Reproduction) -> dict[str, object]:
    return {line.paper.metric: line for line in done.lines}


def test_cells_are_the_probes_numbers(mine: dict[str, object], tmp_path: Path) -> None:
    said = list[str]()
    done = by_metric(reproduce("mine-table1", train=True, log=said.append, **mine))
    assert [line.rpartition(": ")[2] for line in said] == ["segmentation probe"] * 2
    files = {json.loads(file.read_text())["recipe"]["backbone"]: file for file in (tmp_path / "out" / "probes").glob("*.json")}
    for backbone, factor in (("frozen", 1), ("trained", 0.01)):
        found = json.loads(files[backbone].read_text())["metrics"]["val"]
        ours = done[backbone].measured
        assert (ours.value, ours.low, ours.high, ours.n) == (found["miou"] * factor, found["low"] * factor, found["high"] * factor, 2)
    assert done["frozen"].agreement == "differs"
    assert done["trained"].agreement == "not comparable"


def test_the_same_command_again_trains_nothing(mine: dict[str, object], tmp_path: Path) -> None:
    first = reproduce("mine-table1", train=True, **mine)
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "probes").iterdir()}
    assert reproduce("mine-table1", **mine).lines == first.lines
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "probes").iterdir()} == written


def test_a_limit_is_of_what_is_judged(mine: dict[str, object]) -> None:
    done = by_metric(reproduce("mine-table1", train=True, limit=1, **mine))
    assert done["frozen"].measured.n == 1


def test_a_probe_that_is_to_be_trained_says_how_and_its_recipe_is_written(mine: dict[str, object], tmp_path: Path) -> None:
    done = reproduce("mine-table1", **mine)
    assert done.failed
    reason = done.lines[0].reason
    assert reason.startswith("the probe is not trained yet; use --train, or run camdbench probe --recipe ")
    assert {read_probe(file).backbone for file in (tmp_path / "out" / "training").iterdir()} == {"frozen", "trained"}


def test_data_that_are_not_there_are_said(mine: dict[str, object], tmp_path: Path) -> None:
    done = reproduce("mine-table1", train=True, **mine | {"data_root": None})
    assert {line.reason for line in done.lines} == {"data set sbd is read from disk; set --data-root DIR"}
    assert done.failed


def test_nothing_but_void_has_no_number() -> None:
    assert FinishedProbe({"count": 3}).measured("none", "miou").reason == "no pixel of these images has a known class"
