"""Small copies of recipes: the embedded data and network, a few images; explainer, metric, target and loss are kept."""

from __future__ import annotations

from typing import Any

from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.small_scale import small_scale, small_training

FIELDS: dict[str, Any] = {
    "name": "x",
    "network": "resnet50",
    "init": "resnet50@IMAGENET1K_V1",
    "head_stage": {"epochs": 2, "lr": 0.1},
    "data": {"dataset": "pets", "train": "trainval"},
    "loss": "cfce(weight=2.0)",
    "optimiser": {"name": "sgd", "lr": 0.1},
    "epochs": 90,
}


def test_a_measurement_keeps_what_is_measured_and_its_own_overrides() -> None:
    settings = CellSettings(
        dataset="pets",
        split="trainval",
        paper_images=100,
        sample=9,
        model="resnet50",
        mean=0.5,
        explainer="gradcam",
        metric="ad",
        target="predicted",
    )
    small = small_scale(settings)
    assert (small.dataset, small.split, small.model) == ("shortcuts", "train", "shortcuts-ce")
    assert (small.explainer, small.metric, small.target) == ("gradcam", "ad", "predicted")
    assert small.paper_images is small.sample is small.mean is None
    assert small_scale(settings.model_copy(update={"split": "test"})).split == "val"
    assert small_scale(settings.model_copy(update={"small": CellSettings(metric="ag")})).metric == "ag"


def test_a_training_keeps_loss_and_optimiser_but_its_rate() -> None:
    small = small_training(FIELDS)
    assert (small["loss"], small["network"], small["epochs"]) == ("cfce(weight=2.0)", "shortcuts", 1)
    assert small["optimiser"] == {"name": "sgd", "lr": 1e-4}
    assert small["data"]["dataset"] == "shortcuts"
    assert not {"name", "head_stage"} & small.keys()
    assert FIELDS["epochs"] == 90


def test_fields_that_choose_images_are_kept_and_few_shots_draw_from_more() -> None:
    small = small_training(FIELDS | {"data": FIELDS["data"] | {"shots": 5, "labels": "permuted"}})
    assert (small["data"]["shots"], small["data"]["labels"]) == (5, "permuted")
    assert (small["data"]["limit"], small["batch_size"]) == (128, 8)


def test_a_first_run_keeps_its_own_loss_only() -> None:
    small = small_training(FIELDS | {"pretraining": {"loss": "ce", "epochs": 30, "name": "y", "head_stage": {"lr": 1.0}}})
    assert small["pretraining"] == {"loss": "ce"}
