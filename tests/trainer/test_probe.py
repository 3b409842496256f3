"""probe from end to end: what it learns, what it leaves alone, what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import dataset_layouts as fixtures
from safetensors.torch import load_file

from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.models.zoo import load_classifier
from camdbench.trainer.in_memory_split import load_images
from camdbench.trainer.probe import probe
from camdbench.trainer.probe_recipe import ProbeRecipe, check_probe, read_probe
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.tasks.segmentation import pixel_loss
from camdbench.trainer.tasks.segmentation_score import score_segmenter
from camdbench.trainer.tasks.segmenter import load_segmenter

EXAMPLE = Path(__file__).parents[2] / "benchmarks" / "shortcuts" / "probe.yaml"


def recipe(**changes: Any) -> ProbeRecipe:
    data = {"dataset": "shortcuts(size=32)", "limit": 24, "evaluation": ["val"], "evaluation_limit": 8} | changes.pop("data", {})
    fields = {"name": "tiny", "model": "shortcuts-ce", "data": data, "flip": 0.5, "epochs": 2, "batch_size": 8}
    return check_probe(fields | changes, "tiny")


def test_a_reference_of_a_model_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from camdbench import load_classifier\n\ndef made():\n    return load_classifier('shortcuts-ce', device='cpu')\n"
    )
    plan = recipe(epochs=1, data={"limit": 8, "evaluation_limit": 4})
    same = probe(plan, out=tmp_path / "a", device="cpu")
    named = probe(plan.model_copy(update={"model": "shortcuts-cfce"}), model=f"{tmp_path}/own.py:made", out=tmp_path / "b", device="cpu")
    assert all(torch.equal(own, load_file(named.path)[name]) for name, own in load_file(same.path).items())
    assert json.loads(named.path.with_suffix(".json").read_text())["model"] == f"{tmp_path}/own.py:made"
    with pytest.raises(UsageError, match=r"model .*own.py:none: no such name; the file defines made"):
        probe(plan, model=f"{tmp_path}/own.py:none", out=tmp_path / "c", device="cpu")


class TestLearning:
    def test_on_64_images_it_is_far_better_than_the_commonest_class(self, tmp_path: Path) -> None:
        plan = recipe(
            model="shortcuts-cfce",
            data={"dataset": "shortcuts(size=64)", "limit": 64, "evaluation_limit": 32},
            optimiser={"lr": 0.01},
            epochs=8,
        )
        score = probe(plan, out=tmp_path, device="cpu").scores["val"]
        assert score.low > score.majority + 15
        assert score.accuracy > 85

    def test_a_frozen_backbone_is_the_same_to_the_bit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        held = []
        monkeypatch.setattr("camdbench.trainer.probe.load_classifier", lambda *a, **k: held.append(load_classifier(*a, **k)) or held[-1])
        state = load_file(probe(recipe(), out=tmp_path, device="cpu").path)
        before = load_classifier("shortcuts-ce", device="cpu").network.state_dict()
        after = held[0].network.state_dict()
        assert all(tensor.equal(after[name]) for name, tensor in before.items())
        assert not any(module.training for module in held[0].modules())
        assert not any(parameter.requires_grad for parameter in held[0].parameters())
        assert {name.partition(".")[0] for name in state} == {"head"}

    def test_end_to_end_changes_it_but_for_what_comes_after_the_layer(self, tmp_path: Path) -> None:
        state = load_file(probe(recipe(backbone="trained"), out=tmp_path, device="cpu").path)
        before = load_classifier("shortcuts-ce", device="cpu").network.state_dict()
        same = {name for name, tensor in before.items() if tensor.equal(state[f"network.{name}"])}
        assert same == {"fc.weight"}

    def test_the_loss_is_a_mean_over_the_pixels_that_are_not_void(self) -> None:
        scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
        maps = torch.arange(40).reshape(2, 4, 5) % 4
        maps[maps == 3] = 255
        each = [
            -scores[b, :, y, x].log_softmax(0)[maps[b, y, x]].item()
            for b in range(2) for y in range(4) for x in range(5) if maps[b, y, x] != 255
        ]  # fmt: skip
        assert pixel_loss(scores, maps).item() == pytest.approx(sum(each) / len(each), rel=1e-12)
        assert pixel_loss(scores, maps).item() == pytest.approx(F.cross_entropy(scores, maps, ignore_index=255).item(), rel=1e-12)
        assert pixel_loss(scores, torch.full_like(maps, 255)).item() == 0


class TestTheSameAgain:
    def test_the_same_seed_yields_the_same_weights_whatever_torchs_generators_hold(self, tmp_path: Path) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first = probe(recipe(backbone="trained"), out=tmp_path / "a", device="cpu")
        assert torch.get_rng_state().equal(before)
        torch.manual_seed(6)
        again = probe(recipe(backbone="trained"), out=tmp_path / "b", device="cpu")
        other = probe(recipe(backbone="trained"), out=tmp_path / "c", device="cpu", seed=1)
        assert first.path.read_bytes() == again.path.read_bytes()
        assert first.scores["val"].matrix.equal(again.scores["val"].matrix)
        assert not load_file(first.path)["head.0.weight"].equal(load_file(other.path)["head.0.weight"])

    @pytest.mark.parametrize("backbone", ["frozen", "trained"])
    def test_a_run_that_was_cut_short_goes_on_as_if_it_had_not_been(self, tmp_path: Path, backbone: str) -> None:
        plan = recipe(backbone=backbone, epochs=3)
        whole = probe(plan, out=tmp_path / "whole", device="cpu")

        def stop(line: Epoch) -> None:
            if line.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            probe(plan, out=tmp_path / "cut", device="cpu", progress=stop)
        assert [path.name for path in (tmp_path / "cut").iterdir()] == ["tiny.resume"]
        seen: list[Epoch] = []
        cut = probe(plan, out=tmp_path / "cut", device="cpu", progress=seen.append)
        assert [line.epoch for line in seen] == [3]
        assert whole.path.read_bytes() == cut.path.read_bytes()
        assert whole.path.with_suffix(".csv").read_text() == cut.path.with_suffix(".csv").read_text()
        assert not (tmp_path / "cut" / "tiny.resume").exists()

    def test_another_recipe_begins_anew(self, tmp_path: Path) -> None:
        def stop(_line: Epoch) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            probe(recipe(), out=tmp_path, device="cpu", progress=stop)
        seen: list[Epoch] = []
        probe(recipe(flip=0.0), out=tmp_path, device="cpu", progress=seen.append)
        assert [line.epoch for line in seen] == [1, 2]


class TestFiles:
    def test_provenance_log_and_confusion(self, tmp_path: Path) -> None:
        plan = recipe(data={"evaluation": ["val", "conflict"]}, background=False)
        done = probe(plan, out=tmp_path / "out", device="cpu")
        assert done.path == tmp_path / "out" / "tiny.safetensors"
        facts = json.loads(done.path.with_suffix(".json").read_text())
        assert check_probe(facts["recipe"], "again") == plan
        assert (facts["model"], facts["layer"], facts["input_size"], facts["seed"]) == ("shortcuts-ce", "layer3.1", 32, 0)
        assert facts["weights"] == load_classifier("shortcuts-ce", device="cpu").weights_hash()
        assert facts["classes"][:2] == ["background", "disc"]
        assert set(facts["metrics"]) == {"val", "conflict"}
        assert facts["metrics"]["val"]["miou"] == done.scores["val"].miou
        with done.path.with_suffix(".csv").open() as file:
            assert [line["epoch"] for line in csv.DictReader(file)] == ["1", "2"]
        with (tmp_path / "out" / "tiny-val-confusion.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [line["true"] for line in lines] == facts["classes"]
        assert sum(int(line[name]) for line in lines for name in facts["classes"]) == 8 * 32 * 32

    @pytest.mark.parametrize("backbone", ["frozen", "trained"])
    def test_what_is_written_can_be_read_and_judged_again(self, tmp_path: Path, backbone: str) -> None:
        done = probe(recipe(backbone=backbone), out=tmp_path, device="cpu")
        scenes = load_images(recipe_split(), "class maps")
        again = score_segmenter(load_segmenter(done.path, device="cpu"), scenes, background=True, device=torch.device("cpu"))
        assert again.matrix.equal(done.scores["val"].matrix)

    def test_another_classifier_under_the_same_name_is_refused(self, tmp_path: Path) -> None:
        path = probe(recipe(epochs=1), out=tmp_path, device="cpu").path
        facts = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(facts | {"weights": "0"}))
        with pytest.raises(UsageError, match="the weights of shortcuts-ce have changed since"):
            load_segmenter(path, device="cpu")
        path.with_suffix(".json").unlink()
        with pytest.raises(UsageError, match=r"probe .*tiny\.json: .*; train the probe again"):
            load_segmenter(path, device="cpu")

    def test_several_classes_with_void_from_disk(self, tmp_path: Path) -> None:
        fixtures.voc2012(tmp_path / "data")
        data = {"dataset": 'voc2012(labels="multi", size=32)', "train": "trainval", "limit": None, "evaluation_limit": None}
        done = probe(recipe(data=data, batch_size=2, epochs=1), out=tmp_path, device="cpu", data_root=tmp_path / "data")
        score = done.scores["val"]
        assert (score.count, len(score.classes)) == (2, 21)
        assert 0 < score.matrix.sum() < 2 * 32 * 32


def recipe_split() -> Any:
    from camdbench.datasets.shortcuts.dataset import shortcuts

    return shortcuts(split="val", size=32, count=8)


class TestWrongRequests:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"backbone": "thawed"}, "backbone='thawed': input should be 'frozen' or 'trained'"),
            ({"modell": "x"}, "modell: no such field; did you mean 'model'? known: name, data, optimiser"),
            ({"model": "shortcuts-xe"}, "no model 'shortcuts-xe'; did you mean"),
            ({"data": {"dataset": "shortcutz"}}, "no dataset 'shortcutz'"),
            ({"data": {"dataset": "shortcuts(split=val)"}}, "split and count have separate fields"),
            ({"data": {"evaluation": ["train"]}}, "data.train=train: a probe is not evaluated on its training split"),
            ({"data": {"shots": 3}}, "data.shots: no such field; known: dataset, train, limit"),
            ({"batch_size": 1}, "batch_size=1"),
            ({"epochs": 0}, "epochs=0"),
        ],
    )
    def test_a_field_that_is_wrong_is_named(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError) as caught:
            recipe(**changes)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_model_must_be_named(self) -> None:
        with pytest.raises(UsageError, match="recipe x: model: missing"):
            check_probe({"name": "tiny"}, "x")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"layer": "fc"}, "layer 'fc' returns shape .* no grid"),
            ({"layer": "layer9"}, "shortcuts-ce: no layer 'layer9'"),
            ({"batch_size": 32}, "batch_size=32 exceeds the 24 training images"),
            ({"data": {"train": "trian"}}, "trian"),
        ],
    )
    def test_what_cannot_be_done_is_said_before_any_training(self, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            probe(recipe(**changes), out=tmp_path, device="cpu")
        assert not list(tmp_path.iterdir())

    def test_a_data_set_without_masks(self, tmp_path: Path) -> None:
        fixtures.aircraft(tmp_path)
        plan = recipe(data={"dataset": "aircraft(size=32)", "evaluation": ["test"], "limit": 3, "evaluation_limit": 3})
        with pytest.raises(UsageError, match=r"data set aircraft has no masks of split train; use one of .*sbd"):
            probe(plan, out=tmp_path / "out", device="cpu", data_root=tmp_path)

    def test_several_processes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UsageError, match="trained by one process, and torchrun started 2"):
            probe(recipe(), out=tmp_path, device="cpu")

    def test_a_loss_that_is_no_number_stops_and_names_the_batch(self, tmp_path: Path) -> None:
        plan = recipe(backbone="trained", optimiser={"name": "sgd", "lr": 1e30, "schedule": "constant"})
        with pytest.raises(
            CamdbenchError,
            match=r"the loss pixel cross-entropy is (nan|inf) in epoch 1, batch \d \(train-\d+, …\); try a lower optimiser\.lr",
        ):
            probe(plan, out=tmp_path, device="cpu")


class TestCommand:
    def test_the_example_is_a_recipe(self) -> None:
        assert read_probe(EXAMPLE).model == "shortcuts-ce"

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(
            "{name: mine, model: shortcuts-ce, data: {dataset: shortcuts(size=32), limit: 16, evaluation_limit: 4}, batch_size: 8}"
        )
        return str(path)

    def test_it_prints_a_line_per_split(self, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert run_cli(["probe", "--recipe", file, "--out", str(tmp_path / "out"), "--epochs", "1", "--device", "cpu"]) == 0
        said = capsys.readouterr()
        facts = json.loads((tmp_path / "out" / "mine.json").read_text())["metrics"]["val"]
        assert "shortcuts-ce · shortcuts(size=32) · backbone frozen" in said.out
        assert f"{facts['miou']:.1f} [{facts['low']:.1f}, {facts['high']:.1f}]" in said.out
        assert "epoch 1  lr" in said.err

    def test_as_json(self, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["probe", "--recipe", file, "--out", str(tmp_path / "out"), "--epochs", "1", "--device", "cpu", "-q", "--json"]
        assert run_cli(words) == 0
        said = capsys.readouterr()
        [line] = json.loads(said.out)
        assert (line["model"], line["backbone"], line["split"], line["images"]) == ("shortcuts-ce", "frozen", "val", 4)
        assert said.err == ""

    def test_a_recipe_that_is_not_there_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_cli(["probe", "--recipe", "nowhere.yaml"]) == 2
        assert capsys.readouterr().err.startswith("Error: recipe nowhere.yaml: cannot be read (no such file or directory)")
