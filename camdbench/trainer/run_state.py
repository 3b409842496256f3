"""State of a training run between epochs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from accelerate import Accelerator
from torch import Tensor

from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.recipe_fields import BaseRecipe
from camdbench.trainer.schedule import optimiser_of, schedule_of
from camdbench.trainer.task import Task


class Epoch(NamedTuple):
    """One line of the training log.

    Attributes:
        epoch: counted from 1.
        lr: learning rate of its first step.
        train_loss: mean over its batches.
        train_accuracy: fraction of correct predictions in its batches, in [0, 1].
        validation: scores on the validation split; empty without one.
        parts: means of the parts of the training loss.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation: Mapping[str, float]
    parts: Mapping[str, float]

    def flat(self) -> dict[str, float]:
        """The line as columns: validation scores are `val_…`, parts of the training loss `train_…`."""
        scores = {f"val_{name}": value for name, value in self.validation.items()}
        return {**dict(zip(self._fields[:4], self[:4])), **scores, **{f"train_{name}": value for name, value in self.parts.items()}}


class RunState:
    """Optimiser, schedule, log and kept weights of a run, stage by stage.

    Args:
        task: model, data and loss.
        recipe: stages, optimiser and choice of the kept weights.
        accelerator: accelerator of the steps.
    """

    def __init__(self, task: Task[Any], recipe: BaseRecipe, accelerator: Accelerator) -> None:
        self.task, self.recipe, self.accelerator = task, recipe, accelerator
        self.processes = ProcessGroup(accelerator.process_index, accelerator.num_processes)
        self.log = list[Epoch]()
        self.kept_epoch, self.kept = 0, dict[str, Tensor]()
        self.stage = -1
        self.begin(1)

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages."""
        return sum(stage.epochs for stage in self.recipe.stages)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def begin(self, number: int) -> None:
        """Create optimiser and schedule if this epoch is the first of a stage."""
        lengths = [stage.epochs for stage in self.recipe.stages]
        stage = next(index for index in range(len(lengths)) if number <= sum(lengths[: index + 1]))
        if stage == self.stage:
            return
        self.stage, how = stage, self.recipe.stages[stage].optimiser
        self.weights = list(self.task.parameters(stage))
        optimiser = optimiser_of(self.weights, how)
        schedule = schedule_of(optimiser, how, self.task.steps * lengths[stage])
        self.accelerator.free_memory()  # drops the optimiser of the previous stage
        self.optimiser, self.schedule = self.accelerator.prepare_optimizer(optimiser), self.accelerator.prepare_scheduler(schedule)

    def step(self, loss: Tensor) -> None:
        """Accumulate the gradient of a part of a batch; after the last part, update the weights."""
        with self.accelerator.accumulate():
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:  # the last part
                self.processes.average_gradients(self.weights)
                if (norm := self.recipe.optimiser.max_grad_norm) is not None:
                    self.accelerator.clip_grad_norm_(self.weights, norm)  # scaled gradients are unscaled first
            self.optimiser.step()
            self.schedule.step()
            self.optimiser.zero_grad()

    def add(self, line: Epoch) -> None:
        """Append a line to the log, and keep the weights of the last or the best epoch."""
        if not (self.recipe.keeps_best and self.log) or _accuracy(line) > _accuracy(self.log[self.kept_epoch - 1]):
            self.kept_epoch, self.kept = line.epoch, copy.deepcopy(dict(self.task.weights()))
        self.log.append(line)

    def state(self) -> dict[str, Any]:
        """State that determines the rest of the run, as tensors and plain values."""
        return {
            "task": self.task.state(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {},
            "log": [[*line[:-2], dict(line.validation), dict(line.parts)] for line in self.log],
            "kept_epoch": self.kept_epoch,
            "kept": self.kept,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a `state`."""
        self.log = [Epoch(*line) for line in state["log"]]
        self.begin(len(self.log))
        self.task.load_state(state["task"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.kept_epoch, self.kept = state["kept_epoch"], state["kept"]


def _accuracy(line: Epoch) -> float:
    return line.validation["accuracy"]
