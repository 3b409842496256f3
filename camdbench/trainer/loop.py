"""The loop: epochs over images in memory, and what a network makes of a split."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from camdbench.core.catalogue import losses
from camdbench.core.errors import CamdbenchError
from camdbench.models.shortcuts_net import MEAN, STD
from camdbench.trainer.images import Images, augmented
from camdbench.trainer.losses import Step
from camdbench.trainer.recipe import Recipe
from camdbench.trainer.resume import load_run, save_run


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
    resume: tuple[Path, str] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Train a network in place.

    Args:
        network: maps normalised images to logits.
        train: what is learned from.
        select: what is looked at after every epoch.
        recipe: how it is learned.
        device: where it is learned.
        resume: file that holds the run after every epoch, and the key that says which run it is; the run goes on from
            what the file holds of the same key.
        progress: called with every line of the log that this call adds.

    Raises:
        CamdbenchError: the loss is no longer finite; the message names epoch and batch.
    """
    network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing from torch's stubs
    run = _Run.of(network, recipe, recipe.epochs * (len(train) // recipe.batch_size))
    held = load_run(*resume) if resume is not None else None
    if held is not None:
        run.load_state(held)
    for number in range(len(run.log) + 1, recipe.epochs + 1):
        rate = run.rate
        learned = _epoch(run, train, recipe, number)
        seen = score(network, select, device=device)
        run.add(Epoch(number, rate, learned.loss, learned.accuracy, seen.accuracy, seen.loss), keep=recipe.keep)
        if resume is not None:
            save_run(*resume, run.state())
        if progress is not None:
            progress(run.log[-1])
    return Fitted(run.kept, run.kept_epoch, tuple(run.log))


@dataclass
class _Run:
    """A run that is under way: all that changes from one epoch to the next."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    random: torch.Generator
    log: list[Epoch] = field(default_factory=list[Epoch])
    kept_epoch: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @classmethod
    def of(cls, network: nn.Module, recipe: Recipe, steps: int) -> _Run:
        how = recipe.optimiser
        optimiser = torch.optim.AdamW(network.parameters(), how.lr, weight_decay=how.weight_decay)
        # One step more than is made: the schedule also moves after the last one.
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.lr, total_steps=steps + 1, pct_start=how.warm_up)
        return cls(network, optimiser, schedule, torch.Generator().manual_seed(recipe.seed))

    @property
    def rate(self) -> float:
        return float(self.schedule.get_last_lr()[0])

    def step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()

    def add(self, line: Epoch, *, keep: Literal["last", "best"]) -> None:
        if keep == "last" or not self.log or line.accuracy > self.log[self.kept_epoch - 1].accuracy:
            self.kept_epoch, self.kept = line.epoch, copy.deepcopy(self.network.state_dict())
        self.log.append(line)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": self.random.get_state(),
            "log": [list(line) for line in self.log],
            "kept_epoch": self.kept_epoch,
            "kept": self.kept,
        }

    def load_state(self, held: dict[str, Any]) -> None:
        self.network.load_state_dict(held["network"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.schedule.load_state_dict(held["schedule"])
        self.random.set_state(held["random"])
        self.log = [Epoch(*line) for line in held["log"]]
        self.kept_epoch, self.kept = held["kept_epoch"], held["kept"]


def _epoch(run: _Run, train: Images, recipe: Recipe, number: int) -> Score:
    spec = losses.parse_one(recipe.loss)
    loss, device = losses.load(spec.name), next(run.network.parameters()).device
    run.network.train()
    total, right, seen = 0.0, 0, 0
    for batch, (images, labels) in enumerate(train.shuffled(recipe.batch_size, run.random), 1):
        images, labels = augmented(images, recipe.augment, run.random).to(device), labels.to(device)
        logits: Tensor = run.network(normalised(images))
        value: Tensor = loss(Step(logits, labels), **spec.arguments).mean()
        if not math.isfinite(value.item()):
            raise CamdbenchError(f"the loss {recipe.loss} is {value.item()} in epoch {number}, batch {batch}; try a lower optimiser.lr")
        run.step(value)
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
