"""Models and data sets that are objects take the place of names; their weights and pixels are their identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.models.classifier import Classifier
from camdbench.runner import resources as runner_resources
from camdbench.runner.resources import Resources
from camdbench.tables.load import load_run

COUNT = 6


def data(change: float = 0.0) -> InMemoryDataset:
    batch = toy_batch(COUNT)
    batch.images[0, 0, 0, 0] += change
    return InMemoryDataset(batch)


def run(out: Path, *, model: Classifier | None = None, dataset: InMemoryDataset | None = None, **more: Any) -> pd.DataFrame:
    given: dict[str, Any] = {"models": {"mine": model or toy_classifier()}, "dataset": dataset or data()}
    return camdbench.run("gradcam,fakecam", "ad,om", out=out, **given | more)


def test_rows_are_those_of_evaluate_on_the_explainers_maps(tmp_path: Path):
    rows = run(tmp_path / "run")
    assert (set(rows["model"]), set(rows["dataset"]), len(rows)) == ({"mine"}, {"memory"}, 2 * 2 * COUNT)
    batch = toy_batch(COUNT)
    maps = camdbench.explain(toy_classifier(), batch.images, "gradcam", targets=batch.labels.tolist()).maps
    scores = camdbench.evaluate(toy_classifier(), batch.images, batch.labels, maps, "ad,om", boxes=batch.boxes)
    own = rows[rows["explainer"] == "gradcam"]
    np.testing.assert_allclose(own["value"].to_numpy(dtype=float), scores["value"].to_numpy(dtype=float), rtol=1e-6)


def test_resources_and_keywords_are_the_same(tmp_path: Path):
    config = camdbench.RunConfig("gradcam,fakecam", "ad,om", out=tmp_path / "a")
    given = camdbench.run(config=config, resources=Resources(models={"mine": toy_classifier()}, dataset=data()))
    pd.testing.assert_frame_equal(given.drop(columns="run"), run(tmp_path / "b").drop(columns="run"))


def test_the_identity_is_that_of_weights_statistics_and_pixels(tmp_path: Path):
    run(tmp_path / "run")
    run(tmp_path / "run")
    record = load_run(tmp_path / "run")
    assert len(record["sessions"]) == 1
    assert record["models"]["mine"]["weights_hash"] == toy_classifier().weights_hash()
    assert record["dataset"]["fingerprint"] == data().fingerprint()
    other = toy_classifier()
    with torch.no_grad():
        other.network.conv1.weight[0, 0, 0, 0] += 1
    shifted = Classifier(toy_classifier().network, "relu2", mean=(0.4, 0.5, 0.5), std=(0.2, 0.25, 0.3))
    stated = Classifier(toy_classifier().network, "relu2", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), batch_mates="alone")
    for change, what in (
        ({"model": other}, "weights_hash of mine"),
        ({"model": shifted}, "mean of mine"),
        ({"model": stated}, "batch_mates of mine"),
        ({"dataset": data(0.001)}, "data"),
    ):
        with pytest.raises(UsageError, match=f"holds a run with {what} "):
            run(tmp_path / "run", **change)


def test_a_network_is_checked_before_a_folder_is_made_and_the_result_is_in_the_record(tmp_path: Path):
    plain = toy_classifier()
    network = torch.nn.Sequential(plain.network, torch.nn.Softmax(1))
    stated = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    with pytest.raises(UsageError, match="mine: output: the network returns probabilities"):
        run(tmp_path / "run", model=Classifier(network, "0.relu2", name="mine", **stated))
    assert not (tmp_path / "run").exists()
    rows = run(tmp_path / "run", model=Classifier(network, "0.relu2", output="probabilities", **stated))
    own = rows[rows["explainer"] == "fakecam"]
    expected = run(tmp_path / "plain")
    np.testing.assert_allclose(own["value"], expected[expected["explainer"] == "fakecam"]["value"], rtol=1e-4)
    record = load_run(tmp_path / "run")["models"]["mine"]
    assert (record["output"], record["batch_mates"], record["classes"]) == ("probabilities", "together", 5)
    assert record["check"]["looks_like"] == "probabilities"
    assert record["check"]["batch_difference"] < 1e-4
    assert load_run(tmp_path / "plain")["models"]["mine"]["check"]["looks_like"] == "logits"


def test_a_network_of_one_image_at_a_time_has_the_values_of_every_batch_size(tmp_path: Path):
    alone = toy_classifier()
    alone.batch_mates = "alone"
    sizes = list[int]()
    alone.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    found, expected = run(tmp_path / "alone", model=alone, batch_size=4), run(tmp_path / "plain", batch_size=1)
    assert set(sizes) == {1}
    np.testing.assert_array_equal(found["value"], expected["value"])


def test_labels_of_a_data_set_object_are_class_indices(tmp_path: Path):
    dataset = data()
    cases = ([0.0, 1.5, 2, 3, 4, 0], "labels are float64"), ([True] * COUNT, "labels are bool"), ([0], "1 data set .*6 images")
    for labels, message in cases:
        dataset.labels = labels
        with pytest.raises(UsageError, match=message):
            run(tmp_path / "run", dataset=dataset)


def test_maps_of_such_a_run_are_scored_with_the_same_objects(tmp_path: Path):
    first = run(tmp_path / "run", save_maps="raw")
    objects: dict[str, Any] = {"models": {"mine": toy_classifier()}, "dataset": data()}
    again = camdbench.score(tmp_path / "run", "ad", out=tmp_path / "scores", **objects)
    assert set(again["status"]) == {"ok"}
    np.testing.assert_allclose(again["value"], first[first["metric"] == "ad"]["value"], atol=0.3)


def test_two_models_of_one_class_keep_their_own_values(tmp_path: Path):
    models = {"gap": toy_classifier("gap"), "dense": toy_classifier("dense")}
    both = camdbench.run("gradcam", "ad", models=models, dataset=data(), out=tmp_path / "both")
    for name, model in models.items():
        alone = camdbench.run("gradcam", "ad", models={name: model}, dataset=data(), out=tmp_path / name)
        assert both[both["model"] == name]["value"].tolist() == alone["value"].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [toy_classifier(), toy_classifier()]}, r"models: two are named 'toy-gap': give names, models=\{'a': …"),
        ({"layer": "relu2"}, "--layer = relu2: the models are objects"),
        ({"precision": "bf16"}, "--precision = bf16: the models have fp32"),
        ({"data_root": "."}, r"--data-root = \.: the data set is an object"),
    ],
)
def test_options_of_named_models_and_data_are_refused(tmp_path: Path, change: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_an_object_that_cannot_travel_is_refused_before_ray_starts(tmp_path: Path):
    pytest.importorskip("ray")
    model = toy_classifier()
    model.network.unpicklable = lambda: None
    with pytest.raises(
        UsageError, match=r"--executor ray: model mine cannot be pickled \(.*\); give FILE.py:NAME, or use --executor local"
    ):
        run(tmp_path / "run", model=model, executor="ray")


def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen, load = list[str](), runner_resources.load_classifier

    def counted(name: str, **options: Any) -> Classifier:
        seen.append(name)
        return load(name, **options)

    monkeypatch.setattr(runner_resources, "load_classifier", counted)
    return seen


@pytest.mark.parametrize("room", [2**40, 0])
def test_each_model_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int):
    seen = loads(monkeypatch)
    monkeypatch.setattr(runner_resources, "KEPT_BYTES", room)
    models = "shortcuts-ce,squeezenet1_1@random"
    rows = camdbench.run("gradcam", "ad", models=models, limit=3, device="cpu", out=tmp_path / "run")
    assert seen == models.split(",")
    assert len(rows) == 2 * 3
