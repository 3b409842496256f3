"""The loop: epochs over images in memory, and what a network makes of a split."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from camdbench.core.catalogue import losses
from camdbench.core.errors import CamdbenchError
from camdbench.models.shortcuts_net import MEAN, STD
from camdbench.trainer.images import Images, augmented
from camdbench.trainer.losses import Step
from camdbench.trainer.recipe import Recipe


class Score(NamedTuple):
    """How a network does on a split: share of right answers in [0, 1], and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Epoch(NamedTuple):
    """One line of the log: the training loss is that of the recipe, the score is on the split `select`."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Fitted:
    """What a run keeps: weights, the epoch that they come from, and the log."""

    state: dict[str, Tensor]
    epoch: int
    log: tuple[Epoch, ...]


def fit(
    network: nn.Module,
    train: Images,
    select: Images,
    recipe: Recipe,
    *,
    device: torch.device,
    progress: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Train a network in place.

    Raises:
        CamdbenchError: the loss is no longer finite; the message names epoch and batch.
    """
    network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing from torch's stubs
    descent = _Descent.of(network, recipe, recipe.epochs * (len(train) // recipe.batch_size))
    random = torch.Generator().manual_seed(recipe.seed)
    log, kept, state = list[Epoch](), 0, dict[str, Tensor]()
    for number in range(1, recipe.epochs + 1):
        rate = descent.rate
        learned = _epoch(network, train, recipe, number, descent, random)
        seen = score(network, select, device=device)
        log.append(Epoch(number, rate, learned.loss, learned.accuracy, seen.accuracy, seen.loss))
        if progress is not None:
            progress(log[-1])
        if recipe.keep == "last" or not state or seen.accuracy > log[kept - 1].accuracy:
            kept, state = number, copy.deepcopy(network.state_dict())
    return Fitted(state, kept, tuple(log))


@dataclass(frozen=True)
class _Descent:
    """An optimiser under a schedule that moves with every step."""

    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    @classmethod
    def of(cls, network: nn.Module, recipe: Recipe, steps: int) -> _Descent:
        how = recipe.optimiser
        optimiser = torch.optim.AdamW(network.parameters(), how.lr, weight_decay=how.weight_decay)
        # One step more than is made: the schedule also moves after the last one.
        return cls(optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, how.lr, total_steps=steps + 1, pct_start=how.warm_up))

    @property
    def rate(self) -> float:
        return float(self.schedule.get_last_lr()[0])

    def step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()


def _epoch(network: nn.Module, train: Images, recipe: Recipe, number: int, descent: _Descent, random: torch.Generator) -> Score:
    spec = losses.parse_one(recipe.loss)
    loss, device = losses.load(spec.name), next(network.parameters()).device
    network.train()
    total, right, seen = 0.0, 0, 0
    for batch, (images, labels) in enumerate(train.shuffled(recipe.batch_size, random), 1):
        images, labels = augmented(images, recipe.augment, random).to(device), labels.to(device)
        logits: Tensor = network(normalised(images))
        value: Tensor = loss(Step(logits, labels), **spec.arguments).mean()
        if not math.isfinite(value.item()):
            raise CamdbenchError(f"the loss {recipe.loss} is {value.item()} in epoch {number}, batch {batch}; try a lower optimiser.lr")
        descent.step(value)
        total, right, seen = total + value.item() * len(labels), right + _right(logits, labels), seen + len(labels)
    return Score(right / seen, total / seen)


@torch.no_grad()
def score(network: nn.Module, images: Images, *, device: torch.device) -> Score:
    """Judge a network on a split, in eval mode."""
    network.eval()
    right, total = 0, 0.0
    for pixels, labels in images.batches(100):
        logits, labels = network(normalised(pixels.to(device))).double(), labels.to(device)
        right += _right(logits, labels)
        total += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
    return Score(right / len(images), total / len(images))


def normalised(images: Tensor) -> Tensor:
    """What the network takes: images (B, 3, H, W) in [0, 1], shifted and scaled."""
    mean, std = (torch.tensor(values, device=images.device).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def _right(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) == labels).sum())
