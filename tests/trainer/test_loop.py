"""The loop: it learns, stops at a loss that is not finite, and keeps the chosen epoch."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.steps import fit_classifier
from torch import Tensor, nn

from camdbench.core.errors import CamdbenchError
from camdbench.models.classifier import Classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.loop import StepProgress
from camdbench.trainer.recipe import Optimiser, TrainingRecipe
from camdbench.trainer.validation import validate

CPU = torch.device("cpu")


class Means(nn.Module):
    """A linear map of the channel means."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        nn.init.zeros_(self.linear.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.mean((2, 3)))


def _wrapped(network: Means) -> Classifier:
    return Classifier(network, mean=0.5, std=0.25)


@pytest.fixture
def images() -> InMemorySplit:
    """Red and blue squares."""
    labels = torch.arange(16) % 2
    pixels = torch.zeros(16, 3, 4, 4, dtype=torch.uint8)
    pixels[labels == 0, 0] = 200
    pixels[labels == 1, 2] = 200
    return InMemorySplit(pixels, labels, ("red", "blue"), "", tuple(f"image-{index}" for index in range(16)))


def _recipe(**changes: object) -> TrainingRecipe:
    return TrainingRecipe.model_validate({"name": "tiny", "epochs": 5, "batch_size": 4, "optimiser": Optimiser(lr=0.1)} | changes)


def test_it_learns(images: InMemorySplit) -> None:
    network = Means()
    fitted = fit_classifier(_wrapped(network), images, images, _recipe(), device=CPU)
    assert fitted.log[-1].validation["accuracy"] == 1.0
    assert fitted.log[-1].train_loss < fitted.log[0].train_loss
    assert [line.epoch for line in fitted.log] == [1, 2, 3, 4, 5]
    assert validate(_wrapped(network), images, device=CPU).loss == pytest.approx(fitted.log[-1].validation["loss"])


def test_every_line_of_the_log_is_reported(images: InMemorySplit) -> None:
    seen: list[object] = []
    assert fit_classifier(_wrapped(Means()), images, images, _recipe(), device=CPU, progress=seen.append).log == tuple(seen)


def test_every_step_is_told_with_the_mean_loss_so_far(images: InMemorySplit) -> None:
    told = list[StepProgress]()
    log = fit_classifier(_wrapped(Means()), images, images, _recipe(epochs=2, gradient_accumulation=2), device=CPU, on_step=told.append).log
    assert [tick[:4] for tick in told] == [(epoch, 2, step, 4) for epoch in (1, 2) for step in (1, 2, 3, 4)]
    assert told[3].loss == pytest.approx(log[0].train_loss)
    assert told[7].loss == pytest.approx(log[1].train_loss)
    assert told[0].loss == pytest.approx(math.log(2), abs=0.4)


def test_a_loss_that_is_no_number_stops_with_epoch_and_batch(images: InMemorySplit) -> None:
    network = Means()
    with torch.no_grad():
        network.linear.weight.fill_(float("nan"))
    with pytest.raises(CamdbenchError, match=r"epoch 1, batch 1 \(image-\d+, …\): ce nan"):
        fit_classifier(_wrapped(network), images, images, _recipe(), device=CPU)


@pytest.mark.parametrize(("keep", "epoch"), [("last", 5), ("best", 1)])
def test_the_last_or_the_first_best_epoch_is_kept(images: InMemorySplit, keep: str, epoch: int) -> None:
    """Validated on one image that is always classified the same, the first epoch is the best."""
    constant = InMemorySplit(images.pixels[:1] * 0 + 128, torch.tensor([0]), images.classes, "", ("grey",))
    network = Means()
    with torch.no_grad():
        network.linear.bias.copy_(torch.tensor([50.0, -50.0]))
    fitted = fit_classifier(_wrapped(network), images, constant, _recipe(keep=keep), device=CPU)
    assert fitted.epoch == epoch
    same = torch.equal(fitted.state["linear.weight"], network.state_dict()["linear.weight"])
    assert same == (keep == "last")


def test_the_score_is_accuracy_and_mean_cross_entropy(images: InMemorySplit) -> None:
    network = Means()
    with torch.no_grad():
        network.linear.bias.copy_(torch.tensor([1.0, 0.0]))
    found = validate(_wrapped(network), images, device=CPU)
    assert found.accuracy == 0.5
    one, two = torch.log_softmax(torch.tensor([1.0, 0.0]), 0).neg().tolist()
    assert found.loss == pytest.approx((one + two) / 2)
    assert math.isnan(found.iou)
    assert network.training  # as it was
