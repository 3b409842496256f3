"""Tables reproduced end to end, on the embedded data and on what is not there."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from helpers import killed, kills
from helpers.dataset_layouts import pets

from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError
from camdbench.papers.checkpoints import Networks
from camdbench.papers.jobs import JobSettings, plan
from camdbench.papers.recipe_files import load_table, recipe_files
from camdbench.papers.reproduce import Reproduction, _subset, reproduce
from camdbench.papers.training import Training
from camdbench.tables.summary import summarise
from camdbench.trainer.recipe import read_recipe

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


def small(name: str, **given: object) -> Reproduction:
    return reproduce(name, small=True, out="out", device="cpu", **{"limit": 4} | given)  # pyright: ignore[reportArgumentType]


def values(done: Reproduction) -> dict[tuple[str, str, str, str], float]:
    return {line.paper.labels: line.measured.value for line in done.lines}


def test_numbers_are_those_of_the_run() -> None:
    done = small("opticam-table1", methods=["Grad-CAM", "Fake-CAM", "HiRes-CAM"])
    assert {line.agreement for line in done.lines} == {"small"}
    assert not done.failed
    [folder] = Path("out/runs").iterdir()
    means = summarise(folder).set_index(["explainer", "metric"])
    found = values(done)
    for label, explainer in (("Grad-CAM", "gradcam"), ("Fake-CAM", "fakecam"), ("HiRes-CAM", "hirescam")):
        for metric in ("AD", "AG", "AI"):
            assert found["ImageNet-val", "ResNet50", label, metric] == means.loc[(explainer, metric.lower()), "mean"]
        assert found["ImageNet-val", "VGG16", label, "T"] == means.loc[(explainer, "ad"), "seconds_per_image"]
    assert (means["n"] == 4).all()


def test_the_same_command_again_does_nothing_twice() -> None:
    first = small("opticam-table1", methods=["Grad-CAM"], limit=2)
    parts = {path: path.stat().st_mtime_ns for path in Path("out/runs").rglob("*.parquet")}
    again = small("opticam-table1", methods=["Grad-CAM", "XGrad-CAM"], limit=2)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert values(first).items() <= values(again).items()
    assert len(list(Path("out/runs").iterdir())) == 1


def test_a_reproduction_killed_at_a_step_on_the_disk_ends_with_the_table_and_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    kills.write_recipes(tmp_path)
    words = ["reproduce", "mine.yaml", "--train", "-q", "--limit", "4", "--method", "e", "--device", "cpu", "--out"]
    with killed.photographed(tmp_path / "out", tmp_path / "killed") as copies:
        assert run_cli([*words, str(tmp_path / "out")]) == 0
    expected = kills.result_of_reproduction(tmp_path / "out")
    for copy in copies[2 :: len(copies) // 3]:  # in other folders than the one where they began
        assert run_cli([*words, str(copy)]) == 0
        assert kills.result_of_reproduction(copy) == expected


def test_cells_differ_where_class_and_images_do() -> None:
    done = small("opticam-tablea9", methods=["Grad-CAM"], limit=3)
    found = {labels[3]: value for labels, value in values(done).items()}
    assert found["AG(ground-truth class)"] != found["AG(least probable class)"]
    missed = [line for line in done.lines if "misclassified" in line.paper.metric]
    assert {(line.agreement, line.reason) for line in missed} == {("not run", "no image is misclassified; use more images")}
    assert not done.failed


def test_attention_has_no_meaning_on_a_convolutional_network_which_is_no_failure() -> None:
    done = small("opticam-table2", methods=["RawAtt"], limit=1)
    assert {line.agreement for line in done.lines} == {"not run"}
    assert all("attention" in line.reason for line in done.lines)
    assert not done.failed


def test_networks_that_a_recipe_trains_are_trained_small_and_once() -> None:
    said = list[str]()
    done = small("cgc-table5", limit=2, log=said.append)
    assert {line.agreement for line in done.lines} == {"small"}
    trained = [line for line in said if line.startswith("training")]
    assert len(trained) == len(set(trained)) > 1
    assert all("small-shortcuts" in line for line in trained)
    log = next(Path("out/checkpoints").glob("*.csv"))
    assert len(pd.read_csv(log)) == 1
    said.clear()
    again = small("cgc-table5", limit=2, log=said.append)
    assert values(again) == values(done)
    assert not any(line.startswith("training") for line in said)


def test_the_embedded_network_stands_for_its_own_loss() -> None:
    assert Training.of("p", {"network": "shortcuts", "loss": "ce"}, 0).stand_in() == "shortcuts-ce"
    assert Training.of("p", {"network": "shortcuts", "loss": "ce", "surgery": {}}, 0).stand_in() is None
    assert Training.of("p", {"network": "shortcuts", "loss": "ce", "data": {"labelled_fraction": 0.01}}, 0).stand_in() is None
    assert Training.of("p", {"network": "shortcuts", "loss": "ce", "pretraining": {"loss": "corm"}}, 0).stand_in() is None
    assert Training.of("p", {"network": "shortcuts", "loss": "ce", "data": {"shots": 5}}, 0).stand_in() is None
    assert Training.of("p", {"network": "shortcuts", "loss": "ce", "data": {"labels": "permuted"}}, 0).stand_in() is None
    assert Training.of("p", {"network": "shortcuts", "loss": "corm"}, 0).stand_in() is None


def networks(folder: Path, *, train: bool) -> Networks:
    def root_of(dataset: str) -> str:
        return str(folder / "data")

    return Networks(folder / "checkpoints", folder / "training", small=False, train=train, root_of=root_of, device="cpu", log=print)


def test_a_network_that_is_to_be_trained_says_how_and_its_recipe_is_written(tmp_path: Path) -> None:
    found = networks(tmp_path, train=False)
    [job, *_] = plan(load_table("soloss-table1")).jobs
    with pytest.raises(
        CamdbenchError, match=r"use --train, or run camdbench train --recipe .* --out .*checkpoints and repeat this command"
    ):
        found.name_of(job.setting)
    [file] = (tmp_path / "training").iterdir()
    assert read_recipe(file).network == "resnet18"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{file.stem}.safetensors").touch()
    assert found.name_of(job.setting) == str(tmp_path / "checkpoints" / f"{file.stem}.safetensors")


def test_a_network_is_trained_on_the_data_that_are_there(tmp_path: Path) -> None:
    pets(tmp_path / "data")
    data = {"dataset": "pets(size=32)", "train": "trainval", "evaluation": ["test"]}
    training = Training.of("mine", {"network": "shortcuts", "data": data, "validation": "test", "epochs": 1, "batch_size": 2}, 0)
    setting = JobSettings("pets(size=32)", "test", None, None, None, training, None, None, "label")
    assert Path(networks(tmp_path, train=True).name_of(setting)).is_file()
    other = training.fields | {"network": "resnet18", "init": "resnet50@random"}
    missing = replace(setting, training=Training.of("mine", other, 0))
    with pytest.raises(CamdbenchError, match=r"training mine-resnet18-pets-ce-.* failed: .*not a checkpoint of"):
        networks(tmp_path, train=True).name_of(missing)


PETS = """
table: T
summary: s
datasets:
  d: {dataset: pets(size=32), split: test, training: {data: {dataset: pets(size=32), train: trainval, evaluation: [test]}}}
models:
  m: {training: {network: shortcuts, validation: test, epochs: 1, batch_size: 2}}
methods:
  e: {explainer: gradcam}
metrics:
  Acc: {metric: accuracy, scale_by: 0.01}
  AD: {metric: ad}
seeds: [0, 1, 2]
"""


def test_a_recipe_in_full_trains_each_seed_measures_them_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "recipes" / "mine"
    home.mkdir(parents=True)
    (home / "table1.yaml").write_text(PETS)
    header = "table,dataset,model,method,metric,value,std,higher_is_better"
    (home / "table1.csv").write_text(f"{header}\nT,d,m,e,Acc,0.5,0.1,true\nT,d,m,e,AD,-7,,false\n")
    monkeypatch.setattr("camdbench.papers.recipe_files.recipe_folder", lambda: tmp_path / "recipes")
    pets(tmp_path / "data" / "pets")
    given = {"data_root": tmp_path / "data", "device": "cpu", "out": tmp_path / "out"}
    untrained = reproduce("mine-table1", **given)
    assert untrained.failed
    accuracy, drop = reproduce("mine-table1", train=True, **given).lines
    learned = [json.loads(file.read_text())["metrics"]["test"] for file in (tmp_path / "out" / "checkpoints").glob("*.json")]
    assert len(learned) == accuracy.measured.seeds == 3
    assert accuracy.measured.value == pytest.approx(sum(one["accuracy"] for one in learned) / 3)
    assert accuracy.measured.low <= accuracy.measured.value <= accuracy.measured.high
    assert drop.agreement == "differs"
    assert drop.difference == pytest.approx(drop.measured.value + 7)


class TestCommand:
    def test_a_table_with_ours_beside_the_papers(self, capsys: Said) -> None:
        words = ["reproduce", "cfce-table2", "--small", "--limit", "2", "--device", "cpu", "--out", "out", "--method", "Cross-Entropy"]
        assert run_cli([*words, "--report"]) == 0
        out, err = capsys.readouterr()
        pages = sorted(run.resolve() / "report.html" for run in Path("out/runs").iterdir())
        assert sorted(line for line in err.splitlines() if line.startswith("open ")) == [f"open {page.as_uri()}" for page in pages]
        assert all(page.is_file() for page in pages)
        assert "94.25" in out
        assert "6 cells: 6 small" in out
        assert "runs and tables: out" in err
        assert err.splitlines()[0] == "--small: embedded networks and data, not those of the paper; values are not compared"
        headings = [line for line in Path("out/reproduction.md").read_text(encoding="utf-8").splitlines() if "Table 2" in line]
        assert headings
        assert all("embedded networks and data, not those of the paper" in line for line in headings)
        table = pd.read_csv("out/reproduction.csv", dtype={"paper": str})
        assert list(table["paper"]) == ["94.25", "75.94", "69.39", "67.38", "-0.18", "18.44"]
        assert set(table["agreement"]) == {"small"}
        assert "| Cross-Entropy | GradCAM IoU (%) |" in Path("out/reproduction.md").read_text(encoding="utf-8")

    def test_data_that_are_not_there_are_said_cell_by_cell(self, capsys: Said) -> None:
        assert run_cli(["reproduce", "cgc-table2", "-q", "--device", "cpu", "--out", "out", "--json"]) == 3
        lines = json.loads(capsys.readouterr().out)
        assert [line["agreement"] for line in lines] == ["not run", "not run"]
        assert lines[0]["reason"] == "data set imagenet is read from disk; set --data-root DIR"
        assert lines[1]["reason"].startswith("the network is not trained yet; use --train, or run camdbench train")
        assert "--recipe out/training/cgc-resnet50-imagenet" in lines[1]["reason"]
        assert lines[0]["value"] is None
        assert lines[0]["paper"] == "0.4860"

    def test_weights_that_are_not_there_are_said(self, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_HOME", "nowhere")
        Path("data/imagenet/val/n01440764").mkdir(parents=True)
        words = ["reproduce", "opticam-table1", "-q", "--json", "--data-root", "data", "--model", "VGG16", "--method", "Grad-CAM"]
        assert run_cli([*words, "--device", "cpu"]) == 3
        assert {line["agreement"] for line in json.loads(capsys.readouterr().out)} == {"not run"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["cgc-tabel1"], "no recipe 'cgc-tabel1'; did you mean"),
            (["cgc-table1", "--method", "CGCC"], "cgc-table1: no method 'CGCC'; known: Baseline, CGC, GCC"),
            (["cgc-table1", "--model", "ResNet51"], "did you mean"),
            (["cgc-table1", "--data-root", "a", "--data-root", "b"], "NAME=DIR for each"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, words: list[str], said: str, capsys: Said) -> None:
        assert run_cli(["reproduce", *words]) == 2
        assert said in capsys.readouterr().err

    def test_each_data_set_may_have_its_own_folder(self, capsys: Said) -> None:
        words = ["reproduce", "soloss-table1", "-q", "--json", "--data-root", "cub200=a", "--data-root", "pets=b", "--out", "out"]
        assert run_cli(words) == 3
        assert {line["agreement"] for line in json.loads(capsys.readouterr().out)} == {"not run"}


class TestSubsets:
    @pytest.fixture
    def root(self) -> str:
        for number in range(12):
            folder = Path("data/val/n01440764")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"ILSVRC2012_val_{number:08d}.JPEG").touch()
        return "data"

    def subset(self, name: str, limit: int | None, root: str | None, **given: bool) -> dict[str, int]:
        [found] = {str(_subset(job.setting, limit, root)) for job in plan(load_table(name), **given).jobs}
        return ast.literal_eval(found)

    def test_fewer_images_of_what_is_on_disk_are_a_sample(self, root: str) -> None:
        assert self.subset("opticam-table6", 10, root) == {"sample": 10}
        assert self.subset("opticam-table1", 10, root) == {"sample": 10}
        assert self.subset("opticam-table1", None, root) == {}

    def test_where_there_are_no_more_all_are_taken(self, root: str) -> None:
        assert self.subset("opticam-table6", None, root) == {}
        assert self.subset("opticam-table1", 12, root) == {}

    def test_drawn_images_are_limited(self) -> None:
        assert self.subset("opticam-table6", 4, None, small=True) == {"limit": 4}


@pytest.mark.recipes
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", recipe_files())
def test_every_recipe_runs_small(name: str) -> None:
    done = small(name, limit=8)
    assert not done.failed, {line.reason for line in done.lines if line.measured.fault}
    known = ("attention", "misclassified", "segmentation head", "head")
    for line in done.lines:
        assert line.agreement == "small" or any(word in line.reason for word in known), line.reason
    assert any(line.agreement == "small" for line in done.lines)
