"""The loop: epochs over the images of a split, by any registered loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from camdbench.core.catalogue import losses
from camdbench.core.errors import CamdbenchError
from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier
from camdbench.trainer.accelerated import accelerated
from camdbench.trainer.augmentation import augmented
from camdbench.trainer.ranks import Ranks
from camdbench.trainer.recipe import Recipe
from camdbench.trainer.resume import load_run, save_run
from camdbench.trainer.run_state import Epoch, RunState
from camdbench.trainer.split import Split
from camdbench.trainer.statistics import statistics
from camdbench.trainer.step import Judged, Step
from camdbench.trainer.watch import score


@dataclass(frozen=True)
class Fitted:
    """What a run keeps: weights, the epoch that they come from, and the log."""

    state: dict[str, Tensor]
    epoch: int
    log: tuple[Epoch, ...]


class Tick(NamedTuple):
    """How far a run is: the step of the epoch that is done, counted from 1 like the epoch, of how many each; and the mean loss so far."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


def fit(
    classifier: Classifier,
    train: Split,
    select: Split,
    recipe: Recipe,
    *,
    device: torch.device,
    accelerator: Accelerator | None = None,
    resume: tuple[Path, str] | None = None,
    progress: Callable[[Epoch], None] | None = None,
    tick: Callable[[Tick], None] | None = None,
) -> Fitted:
    """Train a classifier's network in place.

    Args:
        classifier: the network with its mean, std and target layer.
        train: what is learned from.
        select: what is looked at after every epoch.
        recipe: how it is learned.
        device: where it is learned.
        accelerator: made for this recipe (`accelerated`), so that processes learn together; each is given all images and takes
            its share of every batch. This process learns alone, and on that device, unless given.
        resume: file that holds the run after every epoch, and the key that says which run it is; the run goes on from
            what the file holds of the same key.
        progress: called with every line of the log that this call adds.
        tick: called after every step.

    Raises:
        CamdbenchError: the loss is no longer finite; the message names epoch and batch.
    """
    if accelerator is None:
        with accelerated(recipe, device) as own:
            return fit(classifier, train, select, recipe, device=device, accelerator=own, resume=resume, progress=progress, tick=tick)
    classifier.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing from torch's stubs
    with torch.random.fork_rng(devices=[]):  # dropout knows no other generator
        torch.manual_seed(recipe.seed)
        run = RunState(classifier, recipe, len(train) // recipe.batch_size, accelerator)
        held = load_run(*resume) if resume is not None else None
        if held is not None:
            run.load_state(held)
        for number in range(len(run.log) + 1, run.epochs + 1):
            run.begin(number)
            rate = run.rate
            learned = _epoch(run, train, number, tick if run.ranks.first else None)
            run.ranks.alike(classifier.network)
            seen = score(classifier, select, device=device, ranks=run.ranks)
            run.add(Epoch(number, rate, learned.loss, learned.accuracy, *seen, learned.parts))
            if resume is not None and run.ranks.first:
                save_run(*resume, run.state())
            if progress is not None and run.ranks.first:
                progress(run.log[-1])
    return Fitted(run.kept, run.kept_epoch, tuple(run.log))


class _Learned(NamedTuple):
    loss: float
    accuracy: float
    parts: dict[str, float]


def _epoch(run: RunState, train: Split, number: int, tick: Callable[[Tick], None] | None) -> _Learned:
    recipe, seen = run.recipe, _Sums()
    share = run.ranks.share(recipe.batch_size, recipe.accumulate)
    run.learn()
    with closing(train.shuffled(recipe.batch_size, run.random, share.places)) as batches:
        for count, plain in enumerate(batches, 1):
            batch = augmented(plain, recipe.augment, run.random, share)
            each = len(batch) // recipe.accumulate
            for part in range(recipe.accumulate):
                _part(run, batch.part(part * each, (part + 1) * each), (number, count, part), seen)
            if tick is not None:
                tick(Tick(number, run.epochs, count, run.batches, seen.mean))
    return seen.means(run.ranks, run.classifier.device)


def _part(run: RunState, plain: Batch, place: tuple[int, int, int], seen: _Sums) -> None:
    """Learn from a part of a batch; its place is the epoch, the batch and the part."""
    recipe, ranks, device = run.recipe, run.ranks, run.classifier.device
    batch, random = _last(plain.to(device)), ranks.random(run.random, recipe.seed, "/".join(map(str, place)))
    step = Step(run.classifier, batch, random, ranks, moving=recipe.statistics == "every", reduced=run.reduced)
    spec = losses.parse_one(recipe.loss)
    with nullcontext() if step.moving else statistics(run.classifier.network, moving=False):  # the main pass moves them all the same
        judged: Judged = losses.load(spec.name)(step, **spec.arguments)
    value = judged.total.mean()
    if not math.isfinite(ranks.total([value.item()], device)[0]):  # everybody stops, or they would wait for each other
        raise CamdbenchError(_trouble(recipe, judged, f"epoch {place[0]}, batch {place[1]} ({batch.ids[0]}, …)"))
    run.step(value)
    seen.add(judged, batch.labels)


class _Sums:
    """Sums over an epoch, of what is finite."""

    def __init__(self) -> None:
        self.sums, self.counts = dict[str, float](), dict[str, float]()

    def add(self, judged: Judged, labels: Tensor) -> None:
        known = labels >= 0
        right = (judged.logits.argmax(1) == labels).double().where(known, torch.nan)
        for name, values in ({"": judged.total, "accuracy": right} | judged.parts).items():
            given = values.detach().double()
            finite = given.isfinite()
            self.sums[name] = self.sums.get(name, 0.0) + float(torch.where(finite, given, 0).sum())
            self.counts[name] = self.counts.get(name, 0) + int(finite.sum())

    @property
    def mean(self) -> float:
        """Of this process's total so far."""
        return self.sums[""] / self.counts[""] if self.counts[""] else math.nan

    def means(self, ranks: Ranks, device: torch.device) -> _Learned:
        sums, counts = (ranks.total(list(held.values()), device) for held in (self.sums, self.counts))
        found = {name: total / count if count else math.nan for name, total, count in zip(self.sums, sums, counts, strict=True)}
        return _Learned(found.pop(""), found.pop("accuracy"), found)


def _last(batch: Batch) -> Batch:
    """The batch with its images in the layout that convolutions are fastest in."""
    return replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))


def _trouble(recipe: Recipe, judged: Judged, where: str) -> str:
    parts = ", ".join(f"{name} {float(values.detach().mean()):.4g}" for name, values in judged.parts.items())
    return (
        f"the loss {recipe.loss} is {float(judged.total.detach().mean())} in {where}: {parts}; try a lower optimiser.lr or optimiser.clip"
    )
