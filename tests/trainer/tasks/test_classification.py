"""The classification task: what a stage trains, what a step costs, and a state from which everything goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.steps import Given
from torch import Tensor, nn

from camdbench.models.classifier import Classifier
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.tasks.classification import ClassificationTask

CPU = torch.device("cpu")


def split() -> InMemorySplit:
    pixels = torch.randint(256, (11, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return InMemorySplit(pixels, torch.arange(11) % 3, tuple("abc"), "", tuple(map(str, range(11))))


class Small(nn.Module):
    """A convolution, a norm and global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))


def classifier_of(network: nn.Module | None) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(network or Small(), None if network else "norm", mean=0.5, std=0.25)


@pytest.fixture
def make() -> Iterator[Any]:
    """A way to make tasks of one accelerator."""
    fields = {"name": "tiny", "batch_size": 4, "augment": {"flip": 0.5, "crop_scale": 0.5}, "head_stage": {"epochs": 1}}
    recipe = check_recipe(fields, "test")
    with open_accelerator(recipe, CPU) as accelerator:
        yield lambda network=None: ClassificationTask(classifier_of(network), split(), split(), recipe, CPU, accelerator)


def test_the_first_stage_trains_the_last_layer_and_keeps_statistics(make: Any) -> None:
    task = make()
    layers = task.classifier.network
    assert [weight.shape for weight in task.parameters(0)] == [(3, 4), (3,)]
    assert [name for name, weight in layers.named_parameters() if weight.requires_grad] == ["fc.weight", "fc.bias"]
    with task.training(0):
        assert [module.training for module in (layers.conv, layers.norm, layers.fc)] == [False, False, True]
    assert len(list(task.parameters(1))) == 6
    with task.training(1):
        assert all(module.training for module in layers.modules())


def test_the_loss_is_cross_entropy_and_only_the_main_pass_moves_statistics(make: Any) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.5, -1.0], [2.0, 2.0, 2.0], [-1.0, 0.0, 4.0]])
    task = make(Given(logits))
    batch = next(iter(task.batches(1)))
    found = task.loss(batch, "1/1/1")
    by_hand = [-float(row.exp()[label].log() - row.exp().sum().log()) for row, label in zip(logits, batch.labels, strict=True)]
    assert found.total.tolist() == pytest.approx(by_hand, rel=1e-5)
    torch.testing.assert_close(found.logits, logits)
    task = make()
    with task.training(1):
        task.loss(batch, "1/1/1")
    assert int(task.classifier.network.norm.num_batches_tracked) == 1


def test_a_state_restores_weights_order_augmentation_and_dropout(make: Any) -> None:
    task = make()
    with task.rng(1):
        first = [batch.images for batch in task.batches(1)]
        torch.rand(3)
    assert (task.steps, len(first)) == (2, 2)
    state = {name: value.clone() if isinstance(value, torch.Tensor) else dict(value) for name, value in task.state().items()}
    again = make()
    nn.init.zeros_(again.classifier.network.fc.weight)
    again.load_state(state)
    assert all(torch.equal(value, task.weights()[name]) for name, value in again.weights().items())
    drawn = list[Any]()
    before = torch.get_rng_state()
    for own in (task, again):
        with own.rng(2):
            drawn.append((torch.cat([batch.images for batch in own.batches(2)]), torch.rand(3)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(*drawn, strict=True))
    assert not torch.equal(drawn[0][0], torch.cat(first))


def test_validation_has_the_accuracy_of_the_network(make: Any) -> None:
    task = make()
    data = split()
    with torch.no_grad():
        right = (task.classifier.eval()(data.pixels / 255).argmax(1) == data.labels).double().mean()
    assert task.validate()["accuracy"] == pytest.approx(float(right))
