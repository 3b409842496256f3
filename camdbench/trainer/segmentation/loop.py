"""The probe's loop: epochs of pixel cross-entropy over scenes in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camdbench.core.errors import CamdbenchError
from camdbench.functional.confusion import VOID
from camdbench.functional.seeds import generator_for
from camdbench.trainer.resume import load_run, save_run
from camdbench.trainer.schedule import optimiser_of, schedule_of
from camdbench.trainer.segmentation.recipe import ProbeRecipe
from camdbench.trainer.segmentation.scenes import Scenes, View
from camdbench.trainer.segmentation.segmenter import Segmenter


class ProbeEpoch(NamedTuple):
    """One line of the log.

    Attributes:
        epoch: counted from 1.
        lr: learning rate of its first step.
        loss: cross-entropy in nats, mean over its steps.
        accuracy: share of pixels that were right in its steps, while it learned.
    """

    epoch: int
    lr: float
    loss: float
    accuracy: float


class _Run:
    """All that changes from one epoch to the next; random numbers depend on seed and epoch alone, so they are no part of it."""

    def __init__(self, segmenter: Segmenter, recipe: ProbeRecipe, steps: int) -> None:
        self.segmenter = segmenter
        self.optimiser = optimiser_of(segmenter.parameters_that_learn(), recipe.optimiser)
        self.schedule = schedule_of(self.optimiser, recipe.optimiser, steps * recipe.epochs)
        self.log = list[ProbeEpoch]()

    def state(self) -> dict[str, Any]:
        parts = {"optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict()}
        return parts | {"learned": self.segmenter.learned(), "log": [list(line) for line in self.log]}

    def load_state(self, held: dict[str, Any]) -> None:
        self.segmenter.learn(held["learned"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.schedule.load_state_dict(held["schedule"])
        self.log = [ProbeEpoch(*line) for line in held["log"]]


def fit(
    segmenter: Segmenter,
    scenes: Scenes,
    recipe: ProbeRecipe,
    *,
    device: torch.device,
    resume: tuple[Path, str] | None = None,
    progress: Callable[[ProbeEpoch], None] | None = None,
) -> tuple[ProbeEpoch, ...]:
    """Train a segmenter in place; a frozen classifier is left as it was, to the bit.

    Args:
        segmenter: on the device.
        scenes: what is learned from.
        recipe: how it is learned.
        device: where it is learned.
        resume: file that holds the run after every epoch, and the key that says which run it is; the run goes on from
            what the file holds of the same key.
        progress: called with every line of the log that this call adds.

    Returns:
        The log of all epochs.

    Raises:
        CamdbenchError: the loss is no longer finite; the message names epoch and batch.
    """
    run = _Run(segmenter, recipe, len(scenes) // recipe.batch_size)
    held = load_run(*resume) if resume is not None else None
    if held is not None:
        run.load_state(held)
    for number in range(len(run.log) + 1, recipe.epochs + 1):
        with segmenter.learning(), seeded(recipe.seed, f"epoch {number}", device):
            run.log.append(_epoch(run, scenes, recipe, number, device))
        if resume is not None:
            save_run(*resume, run.state())
        if progress is not None:
            progress(run.log[-1])
    return tuple(run.log)


def _epoch(run: _Run, scenes: Scenes, recipe: ProbeRecipe, number: int, device: torch.device) -> ProbeEpoch:
    rate, random = float(run.schedule.get_last_lr()[0]), generator_for(recipe.seed, f"epoch {number}", "probe order")
    losses, right, known = list[float](), 0, 0
    for count, view in enumerate(scenes.shuffled(recipe.batch_size, random, recipe.flip), 1):
        view = view.to(device)
        scores = run.segmenter(view.images)
        loss = pixel_loss(scores, view.maps)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            where = f"epoch {number}, batch {count} ({view.ids[0]}, …)"
            raise CamdbenchError(f"the loss is {losses[-1]} in {where}; try a lower optimiser.lr or optimiser.clip")
        _step(run, loss, recipe.optimiser.clip)
        right, known = right + _right(scores, view), known + int((view.maps != VOID).sum())
    return ProbeEpoch(number, rate, sum(losses) / len(losses), right / known if known else math.nan)


def pixel_loss(scores: Tensor, maps: Tensor) -> Tensor:
    """Cross-entropy in nats, mean over the pixels of a batch that are not void; 0 where all are.

    Args:
        scores: (B, C, H, W).
        maps: (B, H, W) class indices, 255 where void.
    """
    total = F.cross_entropy(scores, maps, ignore_index=VOID, reduction="sum")
    return total / (maps != VOID).sum().clamp(min=1)


def _step(run: _Run, loss: Tensor, clip: float | None) -> None:
    run.optimiser.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(run.segmenter.parameters_that_learn(), clip)
    run.optimiser.step()
    run.schedule.step()


def _right(scores: Tensor, view: View) -> int:
    return int(((scores.argmax(1) == view.maps) & (view.maps != VOID)).sum())


@contextmanager
def seeded(seed: int, name: str, device: torch.device) -> Generator[None]:
    """Let torch's own generators, which first weights and dropout draw from, start from seed and name; they come back after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator_for(seed, name, "probe").initial_seed())
        yield
