"""The training loop: stages, optimiser, schedule, gradient accumulation, clipping, log and resume, for any task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.trainer.checkpoint import load_run, save_run
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.recipe_fields import BaseRecipe
from camdbench.trainer.run_state import Epoch, RunState
from camdbench.trainer.task import LossResult, Task


@dataclass(frozen=True)
class TrainingResult:
    """Kept weights, the epoch that they come from, and the log."""

    state: dict[str, Tensor]
    epoch: int
    log: tuple[Epoch, ...]


class StepProgress(NamedTuple):
    """Progress after a step.

    Attributes:
        epoch: counted from 1.
        epochs: their number.
        step: finished step of the epoch, counted from 1.
        steps: their number.
        loss: mean over the epoch so far.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


def fit(
    task: Task[Any],
    recipe: BaseRecipe,
    accelerator: Accelerator,
    *,
    resume: tuple[Path, str] | None = None,
    progress: Callable[[Epoch], None] | None = None,
    on_step: Callable[[StepProgress], None] | None = None,
    on_resume: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train the model of a task in place.

    Args:
        task: model, data and loss.
        recipe: stages, optimiser, batch size and choice of the kept weights.
        accelerator: from `open_accelerator` for this recipe; its processes share every batch.
        resume: file for the state after every epoch, and key of the run; a file with the same key is resumed.
        progress: called with every new line of the log.
        on_step: called after every step.
        on_resume: called with the last line of a resumed run, which may have been killed before that epoch was shown.

    Raises:
        CamdbenchError: the loss is not finite.
    """
    run = RunState(task, recipe, accelerator)
    writes = run.processes.is_main
    if resume is not None and (state := load_run(*resume)) is not None:
        run.load_state(state)
        if on_resume is not None and writes:
            on_resume(run.log[-1])
    for number in range(len(run.log) + 1, run.epochs + 1):
        run.begin(number)
        rate = run.rate
        with task.rng(number):
            learned = _epoch(run, number, on_step if writes else None)
            scores = task.validate()
        run.add(Epoch(number, rate, learned.loss, learned.accuracy, scores, learned.parts))
        if resume is not None and writes:
            save_run(*resume, run.state())
        if progress is not None and writes:
            progress(run.log[-1])
    return TrainingResult(run.kept, run.kept_epoch, tuple(run.log))


class EpochLoss(NamedTuple):
    """Means over an epoch: the loss, the accuracy, and the parts of the loss."""

    loss: float
    accuracy: float
    parts: dict[str, float]


def _epoch(run: RunState, number: int, on_step: Callable[[StepProgress], None] | None) -> EpochLoss:
    task, sums = run.task, _Sums()
    with task.training(run.stage), closing(task.batches(number)) as batches:
        for count, batch in enumerate(batches, 1):
            for index, part in enumerate(_split(batch, run.recipe.micro_batches)):
                result = task.loss(part, f"{number}/{count}/{index}")
                loss = result.total.mean()
                if not math.isfinite(run.processes.sum([loss.item()], run.accelerator.device)[0]):  # all processes stop together
                    raise CamdbenchError(_not_finite(task.loss_name, result, f"epoch {number}, batch {count} ({part.ids[0]}, …)"))
                run.step(loss)
                sums.add(result, part.labels)
            if on_step is not None:
                on_step(StepProgress(number, run.epochs, count, task.steps, sums.mean))
    return sums.means(run.processes, run.accelerator.device)


def _split(batch: Any, count: int) -> Iterator[Any]:
    size = len(batch.ids) // count
    return (batch.part(index * size, (index + 1) * size) for index in range(count))


class _Sums:
    """Sums of finite values over an epoch."""

    def __init__(self) -> None:
        self.sums, self.counts = dict[str, float](), dict[str, float]()

    def add(self, result: LossResult, labels: Tensor) -> None:
        labels = labels.to(result.logits.device)
        correct = (result.logits.argmax(1) == labels).double().where(labels >= 0, torch.nan)
        for name, values in ({"": result.total, "accuracy": correct} | result.parts).items():
            given = values.detach().double()
            finite = given.isfinite()
            self.sums[name] = self.sums.get(name, 0.0) + float(torch.where(finite, given, 0).sum())
            self.counts[name] = self.counts.get(name, 0) + int(finite.sum())

    @property
    def mean(self) -> float:
        """Mean loss of this process so far."""
        return self.sums[""] / self.counts[""] if self.counts[""] else math.nan

    def means(self, processes: ProcessGroup, device: torch.device) -> EpochLoss:
        sums, counts = (processes.sum(list(values.values()), device) for values in (self.sums, self.counts))
        found = {name: total / count if count else math.nan for name, total, count in zip(self.sums, sums, counts, strict=True)}
        return EpochLoss(found.pop(""), found.pop("accuracy"), found)


def _not_finite(name: str, result: LossResult, where: str) -> str:
    parts = ", ".join(f"{part} {float(values.detach().mean()):.4g}" for part, values in result.parts.items())
    return (
        f"the loss {name} is {float(result.total.detach().mean())} in {where}{f': {parts}' if parts else ''}; "
        "try a lower optimiser.lr or optimiser.max_grad_norm"
    )
