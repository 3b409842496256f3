"""train: from a recipe to a checkpoint of the zoo."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator

from camdbench.core.catalogue import datasets, losses
from camdbench.core.errors import UsageError
from camdbench.core.provenance import git_revision, now, versions
from camdbench.datasets.loading import default_workers
from camdbench.models.classifier import Classifier
from camdbench.models.devices import pick_device
from camdbench.models.surgery import surgery_of
from camdbench.trainer.accelerated import accelerated
from camdbench.trainer.chain import trained_before
from camdbench.trainer.checkpoint import write_csv, write_json, write_weights
from camdbench.trainer.fields import changed
from camdbench.trainer.images import check_batch, open_split
from camdbench.trainer.loop import Fitted, Tick, fit
from camdbench.trainer.pictures import Painter, Picture
from camdbench.trainer.recipe import Recipe, read_recipe
from camdbench.trainer.resume import run_key
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.selection import learned_from
from camdbench.trainer.split import Split
from camdbench.trainer.start import start
from camdbench.trainer.streamed import held
from camdbench.trainer.watch import Score, score


class _Told(NamedTuple):
    """Who is told how a run goes."""

    progress: Callable[[Epoch], None] | None
    tick: Callable[[Tick], None] | None
    pictures: int
    show: Callable[[Picture], None] | None

    def painter(self, classifier: Classifier, select: Split, recipe: Recipe) -> Painter | None:
        """Takes pictures, where somebody wants them."""
        return Painter.of(classifier, select, recipe, self.pictures, self.show) if self.pictures and self.show is not None else None

    def line(self, line: Epoch, painter: Painter | None) -> None:
        """At the end of an epoch."""
        if self.progress is not None:
            self.progress(line)
        if painter is not None:
            painter.after(line.epoch)


def train(
    recipe: str | Path | Recipe,
    *,
    out: str | Path,
    seed: int | None = None,
    device: str = "auto",
    epochs: int | None = None,
    data_root: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[Epoch], None] | None = None,
    tick: Callable[[Tick], None] | None = None,
    pictures: int = 0,
    show: Callable[[Picture], None] | None = None,
) -> Path:
    """Train the network of a recipe and write weights, provenance and log.

    On the CPU, with one number of threads, the same recipe and seed yield the same weights. A run that was cut short
    goes on after its last whole epoch when it is started again, and yields what it would have yielded. Under `torchrun`
    the processes share every batch; the first one writes. The run of a recipe's `after` is made before, in the same folder,
    unless its checkpoint is there.

    Args:
        recipe: path of a YAML file, or a recipe.
        out: folder for `NAME.safetensors`, `NAME.json` and `NAME.csv`, made if need be; files of that name are replaced.
            `NAME.resume` stands there while a run is unfinished.
        seed: another seed than the recipe's.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        epochs: another number of epochs than the recipe's.
        data_root: where the data set lies, for one that is read from disk.
        workers: number of processes, for each process that learns, that read images; by their number and the cores unless given.
        progress: called with every line of the log.
        tick: called after every step.
        pictures: number of images of `select` whose maps are shown after every epoch, and at the end beside those before.
        show: called with every picture.

    Returns:
        Path of the weights.

    Raises:
        UsageError: the recipe is wrong, or the device is not there; nothing has been trained.
        CamdbenchError: the loss is no longer finite, or an image cannot be read.
    """
    plan = changed(read_recipe(recipe) if not isinstance(recipe, Recipe) else recipe, seed=seed, epochs=epochs)
    where = pick_device(device)
    told = _Told(progress, tick, pictures, show)
    before = trained_before(
        plan, Path(out), lambda first: train(first, out=out, device=device, data_root=data_root, workers=workers, **told._asdict())
    )
    with accelerated(plan, where) as accelerator:
        several = accelerator.num_processes > 1
        splits = _open(plan, data_root, workers, accelerator.num_processes)
        path = _train(plan, Path(out), accelerator, accelerator.device if several else where, splits, before, told)
        accelerator.wait_for_everyone()  # nobody begins another run before this one is written
        return path


def _train(
    plan: Recipe,
    out: Path,
    accelerator: Accelerator,
    where: torch.device,
    splits: dict[str, Split],
    before: Path | None,
    told: _Told,
) -> Path:
    origin: dict[str, object] = {
        "versions": versions(),
        "git": git_revision(),
    }  # of the code that is loaded now; it may change during the run
    learned = splits[plan.data.train].partly_labelled(plan.data.labelled, plan.seed)
    classifier = start(plan, learned, before)
    path = out / f"{plan.name}.safetensors"
    facts = {split: images.fingerprint for split, images in splits.items()} | {"weights": classifier.weights_hash()}
    half = path.with_suffix(".resume"), run_key(plan, facts, where)
    select = splits[plan.select]
    painter = told.painter(classifier.to(where), select, plan) if accelerator.is_main_process else None
    said = partial(told.line, painter=painter)
    fitted = fit(classifier, learned, select, plan, device=where, accelerator=accelerator, resume=half, progress=said, tick=told.tick)
    if not accelerator.is_main_process:
        return path
    classifier.network.load_state_dict(fitted.state)
    scores = {split: score(classifier, splits[split], device=where) for split in plan.data.evaluate}
    write_csv(path.with_suffix(".csv"), [line.flat() for line in fitted.log])
    origin |= {"device": where.type, "processes": accelerator.num_processes}
    write_json(path.with_suffix(".json"), _provenance(plan, classifier, fitted, scores, splits) | origin)
    write_weights(path, fitted.state)  # last: where the weights are, the rest is too
    half[0].unlink(missing_ok=True)
    if painter is not None:
        painter.end(fitted.epoch)
    return path


def _open(recipe: Recipe, data_root: str | Path | None, workers: int | None, processes: int) -> dict[str, Split]:
    """Every split that the recipe names; all are opened before the first is read."""
    spec, data = datasets.parse_one(recipe.data.dataset), recipe.data
    if data.train in (*data.evaluate, recipe.select):
        raise UsageError(f"recipe {recipe.name}: split {data.train!r} is trained on, so it cannot judge the network; use val")
    counts = {data.train: data.count} | dict.fromkeys((*data.evaluate, recipe.select), data.evaluate_count)
    opened = {split: open_split(spec, split, count, data_root) for split, count in counts.items()}
    opened[data.train] = learned_from(opened[data.train], data, recipe.seed)
    loss = losses.get(losses.parse_one(recipe.loss).name)
    per_class = "class masks" in loss.facts.needs
    images = dict[str, Split]()
    for split, dataset in opened.items():
        usual = default_workers(len(dataset.ids), on_disk=datasets.get(spec.name).facts.on_disk) // processes
        count, every = usual if workers is None else workers, per_class and split == data.train
        images[split] = held(dataset, memory=data.memory, regions=data.regions, per_class=every, workers=count)
    check_batch(images[data.train], recipe.batch_size)
    if "masks" in loss.facts.needs and not images[data.train].masked:
        raise UsageError(f"recipe {recipe.name}: the loss {loss.name} needs masks, and {data.dataset} gives no {data.regions}")
    return images


def _provenance(
    recipe: Recipe, classifier: Classifier, fitted: Fitted, scores: dict[str, Score], splits: dict[str, Split]
) -> dict[str, object]:
    train_images = splits[recipe.data.train]
    return {
        "name": recipe.name,
        "network": recipe.network,
        "surgery": surgery_of(classifier.network),
        "classes": list(train_images.classes),
        "input_size": train_images.size[1],
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "layer": classifier.layer,
        "metrics": {split: {"count": len(splits[split]), **_finite(value)} for split, value in scores.items()},
        "epoch": fitted.epoch,
        "learned_from": {"images": len(train_images), **recipe.data.model_dump(include={"labelled", "shots", "episode", "labels"})},
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "fingerprints": {split: images.fingerprint for split, images in splits.items()},
        "threads": torch.get_num_threads(),
        "date": now(),
    }


def _finite(found: Score) -> dict[str, float]:
    return {name: value for name, value in found._asdict().items() if math.isfinite(value)}  # JSON knows no NaN
