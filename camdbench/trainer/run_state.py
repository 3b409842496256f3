"""A run that is under way: all that changes from one epoch to the next."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from camdbench.models.classifier import Classifier
from camdbench.models.last_layer import last_layers
from camdbench.trainer.ranks import Ranks
from camdbench.trainer.recipe import Optimiser, Recipe
from camdbench.trainer.schedule import optimiser_of, schedule_of


class Epoch(NamedTuple):
    """One line of the log: training loss and its parts are those of the recipe, the rest is on the split `select`."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    accuracy: float
    loss: float
    iou: float
    energy: float
    core_share: float
    parts: Mapping[str, float]

    def flat(self) -> dict[str, float]:
        """The line as columns; the parts of the training loss are called `train_…`."""
        plain = {name: value for name, value in self._asdict().items() if name != "parts"}
        return plain | {f"train_{name}": value for name, value in self.parts.items()}


class RunState:
    """A network on its way, in one stage or in two: the last layer alone, then everything.

    Args:
        classifier: the network, on its device.
        recipe: how it is trained.
        batches: steps per epoch.
        accelerator: what the steps are made with.
    """

    def __init__(self, classifier: Classifier, recipe: Recipe, batches: int, accelerator: Accelerator) -> None:
        self.classifier, self.recipe, self.batches, self.accelerator = classifier, recipe, batches, accelerator
        self.ranks = Ranks(accelerator.process_index, accelerator.num_processes)
        self.random = torch.Generator().manual_seed(recipe.seed)
        self.log = list[Epoch]()
        self.kept_epoch, self.kept = 0, dict[str, Tensor]()
        self._stage = -1
        self.begin(1)

    @property
    def epochs(self) -> int:
        """Of both stages together."""
        return self._first + self.recipe.epochs

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def reduced(self) -> AbstractContextManager[None]:
        """A context of the recipe's precision."""
        return self.accelerator.autocast()

    def begin(self, number: int) -> None:
        """Make optimiser and schedule anew where this epoch is the first of a stage."""
        stage = int(number > self._first)
        if stage == self._stage:
            return
        self._stage, head = stage, self.recipe.head if number <= self._first else None
        how = self.recipe.optimiser
        if head is not None:
            how = Optimiser.model_validate(how.model_dump() | {"lr": head.lr, "schedule": "constant"})
        self.classifier.network.requires_grad_(head is None)
        if head is not None:
            self._head().requires_grad_(True)
        optimiser = optimiser_of((p for p in self.classifier.network.parameters() if p.requires_grad), how)
        schedule = schedule_of(optimiser, how, self.batches * (self.recipe.epochs if head is None else head.epochs))
        self.accelerator.free_memory()  # the stage before has an optimiser of its own
        self.optimiser, self.schedule = self.accelerator.prepare_optimizer(optimiser), self.accelerator.prepare_scheduler(schedule)

    def learn(self) -> None:
        """Put the network into training mode; what is frozen stays in eval mode, so that its statistics do not move."""
        self.classifier.train(self._stage == 1)
        if self._stage == 0:
            self._head().train()

    def step(self, loss: Tensor) -> None:
        """One step down the mean loss of all processes, once it has been called for every part of a batch."""
        weights = list(self.classifier.network.parameters())
        with self.accelerator.accumulate():
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:  # the last part
                self.ranks.average(weights)
                if self.recipe.optimiser.clip is not None:
                    self.accelerator.clip_grad_norm_(weights, self.recipe.optimiser.clip)  # scaled gradients are unscaled first
            self.optimiser.step()
            self.schedule.step()
            self.optimiser.zero_grad()

    def add(self, line: Epoch) -> None:
        """Write a line of the log, and keep the weights where the recipe says so."""
        if self.recipe.keep == "last" or not self.log or line.accuracy > self.log[self.kept_epoch - 1].accuracy:
            self.kept_epoch, self.kept = line.epoch, copy.deepcopy(self.classifier.network.state_dict())
        self.log.append(line)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as tensors and plain values."""
        return {
            "network": self.classifier.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {},
            "random": self.random.get_state(),
            "global_random": torch.get_rng_state(),
            "log": [[*line[:-1], dict(line.parts)] for line in self.log],
            "kept_epoch": self.kept_epoch,
            "kept": self.kept,
        }

    def load_state(self, held: dict[str, Any]) -> None:
        """Go on where that state was taken."""
        self.log = [Epoch(*line) for line in held["log"]]
        self.begin(len(self.log))
        self.classifier.network.load_state_dict(held["network"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.schedule.load_state_dict(held["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(held["scaler"])
        self.random.set_state(held["random"])
        torch.set_rng_state(held["global_random"])
        self.kept_epoch, self.kept = held["kept_epoch"], held["kept"]

    @property
    def _first(self) -> int:
        return self.recipe.head.epochs if self.recipe.head is not None else 0

    def _head(self) -> nn.Module:
        return last_layers(self.classifier.network)
