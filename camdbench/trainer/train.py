"""train: train the network of a recipe and write its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator

from camdbench.core.errors import UsageError
from camdbench.core.files import read_json
from camdbench.core.provenance import git_revision, now, versions
from camdbench.core.registries import losses
from camdbench.core.written_files import check_folder
from camdbench.datasets.loading import default_workers
from camdbench.datasets.samples import Dataset
from camdbench.models.classifier import Classifier
from camdbench.models.devices import pick_device
from camdbench.models.network_identity import network_code
from camdbench.models.network_source import NetworkSource, network_source
from camdbench.models.surgery import surgery_of
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.checkpoint import run_key, write_csv, write_json, write_weights
from camdbench.trainer.in_memory_split import check_batch, open_splits, select_training_images
from camdbench.trainer.initialisation import build_initial_classifier
from camdbench.trainer.loop import StepProgress, TrainingResult, fit
from camdbench.trainer.own_losses import loss_record, own_losses, recorded_loss
from camdbench.trainer.own_splits import data_record, is_read_from_files
from camdbench.trainer.recipe import TrainingRecipe, check_recipe, read_recipe
from camdbench.trainer.recipe_fields import with_changes
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.split_data import Split
from camdbench.trainer.streamed_split import load_split
from camdbench.trainer.tasks.classification import ClassificationTask
from camdbench.trainer.training_previews import Preview, PreviewRecorder
from camdbench.trainer.validation import ValidationScores, validate


class Callbacks(NamedTuple):
    """Callbacks of a run."""

    progress: Callable[[Epoch], None] | None
    on_step: Callable[[StepProgress], None] | None
    preview_images: int
    on_preview: Callable[[Preview], None] | None

    def recorder(self, classifier: Classifier, images: Split, recipe: TrainingRecipe) -> PreviewRecorder | None:
        """A recorder of previews; None without `preview_images`."""
        if not self.preview_images or self.on_preview is None:
            return None
        return PreviewRecorder.of(classifier, images, recipe, self.preview_images, self.on_preview)

    def after_epoch(self, line: Epoch, recorder: PreviewRecorder | None) -> None:
        """Report the end of an epoch."""
        if self.progress is not None:
            self.progress(line)
        if recorder is not None:
            recorder.after(line.epoch)


def train(
    recipe: str | Path | TrainingRecipe,
    *,
    out: str | Path,
    loss: Any = None,
    network: Any = None,
    seed: int | None = None,
    device: str = "auto",
    epochs: int | None = None,
    data_root: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[Epoch], None] | None = None,
    on_step: Callable[[StepProgress], None] | None = None,
    preview_images: int = 0,
    on_preview: Callable[[Preview], None] | None = None,
    change_data: Callable[[str, Dataset], Dataset] | None = None,
) -> Path:
    """Train the network of a recipe and write weights, provenance and log.

    On a CPU, with one number of threads, the same recipe and seed yield the same weights. An interrupted run resumes after its
    last complete epoch and yields identical weights. Under `torchrun` the processes share every batch; the first one writes.
    The run of a recipe's `pretraining` comes first, in the same folder, unless its checkpoint exists.

    Args:
        recipe: path of a YAML file, or a recipe.
        out: folder for `NAME.safetensors`, `NAME.json` and `NAME.csv`, created if missing; files of that name are replaced.
            It holds `NAME.resume` while a run is unfinished.
        loss: replaces the recipe's loss: a spec, a reference `[NAME=]FILE.py:NAME(options)`, an `nn.Module` of (logits, labels),
            or a function `f(step)` that returns a `LossResult`, or `f(logits, labels)` with B values or their mean.
        network: replaces the recipe's network: a name, a reference `FILE.py:NAME(options)`, or an `nn.Module` or `Classifier`, a copy of
            which is trained.
        seed: replaces the recipe's seed.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        epochs: replaces the recipe's number of epochs.
        data_root: folder of a data set on disk.
        workers: processes that read images, per training process; default: by the number of images and cores.
        progress: called with every line of the log.
        on_step: called after every step.
        preview_images: number of validation images whose saliency maps are computed after every epoch.
        on_preview: called with every preview.
        change_data: returns the data set to use for a split, from its name and the data set of the recipe; augmentation follows.

    Returns:
        Path of the weights.

    Raises:
        UsageError: the recipe is wrong, or the device is missing; raised before training.
        UnwritableFile: a file cannot be written; finished epochs are kept.
        CamdbenchError: the loss is not finite, or an image cannot be read.
    """
    plan = with_changes(read_recipe(recipe) if not isinstance(recipe, TrainingRecipe) else recipe, seed=seed, epochs=epochs)
    source = network_source(plan.network if network is None else network)
    plan = with_changes(plan, network=network if source is None else source.text)
    callbacks = Callbacks(progress, on_step, preview_images, on_preview)
    with own_losses(plan.loss if loss is None else loss) as spec:
        plan = check_recipe(plan.model_dump() | {"loss": spec}, plan.name) if spec != plan.loss else plan
        return _with_pretraining(plan, Path(out), pick_device(device), data_root, workers, callbacks, source, change_data)


def _with_pretraining(
    plan: TrainingRecipe,
    out: Path,
    where: torch.device,
    data_root: str | Path | None,
    workers: int | None,
    callbacks: Callbacks,
    source: NetworkSource | None,
    change: Callable[[str, Dataset], Dataset] | None,
) -> Path:
    """Train a recipe, after the run of its `pretraining`."""
    options: dict[str, Any] = {"out": out, "device": str(where), "data_root": data_root, "workers": workers, **callbacks._asdict()}
    options["change_data"] = change
    options["network"] = None if source is None else source.given.reference or source.given.thing
    before = pretrain(plan, out, lambda first: train(first, **options))
    with open_accelerator(plan, where) as accelerator:
        splits = _load_splits(plan, data_root, workers, accelerator.num_processes, change)
        device = where if accelerator.num_processes == 1 else accelerator.device
        path = _train(plan, out, accelerator, device, splits, before, callbacks, source)
        accelerator.wait_for_everyone()  # no process starts another run before the files exist
        return path


def _train(
    plan: TrainingRecipe,
    out: Path,
    accelerator: Accelerator,
    device: torch.device,
    splits: dict[str, Split],
    before: Path | None,
    callbacks: Callbacks,
    source: NetworkSource | None,
) -> Path:
    if accelerator.is_main_process:
        check_folder(out, "--out")
    code = None if source is None else source.code
    origin: dict[str, object] = {"versions": versions(), "git": git_revision()}  # of the loaded code; files may change during the run
    train_images = splits[plan.data.train].partly_labelled(plan.data.labelled_fraction, plan.seed)
    classifier = build_initial_classifier(plan, train_images, before, source)
    path = out / f"{plan.name}.safetensors"
    facts = {split: images.fingerprint for split, images in splits.items()} | {"weights": classifier.weights_hash()}
    facts |= {f"loss {fact}": own for fact, own in loss_record(plan.loss).items()}
    facts |= data_record(plan.data.dataset)
    known = plan
    if source is not None:  # the code counts, not its folder
        facts |= {"network code": network_code(classifier.network), "network": _stated(classifier)}
        known = plan.model_copy(update={"network": source.name})
    resume = path.with_suffix(".resume"), run_key(known, facts, device)
    validation = splits[plan.validation]
    recorder = callbacks.recorder(classifier.to(device), validation, plan) if accelerator.is_main_process else None
    task = ClassificationTask(classifier, train_images, validation, plan, device, accelerator)
    report = partial(callbacks.after_epoch, recorder=recorder)
    again = None if recorder is None else lambda line: recorder.after(line.epoch)
    result = fit(task, plan, accelerator, resume=resume, progress=report, on_step=callbacks.on_step, on_resume=again)
    if not accelerator.is_main_process:
        return path
    classifier.network.load_state_dict(result.state)
    scores = {split: validate(classifier, splits[split], device=device) for split in plan.data.evaluation}
    path.unlink(missing_ok=True)  # of another training: weights never stand beside the files of other weights
    write_csv(path.with_suffix(".csv"), [line.flat() for line in result.log])
    origin |= {} if source is None else {"network_code": code}
    origin |= {"device": device.type, "processes": accelerator.num_processes}
    write_json(path.with_suffix(".json"), _provenance(plan, classifier, result, scores, splits) | origin)
    write_weights(path, result.state)  # last: if the weights exist, so do the other files
    resume[0].unlink(missing_ok=True)
    if recorder is not None:
        recorder.end(result.epoch)
    return path


def _load_splits(
    recipe: TrainingRecipe,
    data_root: str | Path | None,
    workers: int | None,
    processes: int,
    change: Callable[[str, Dataset], Dataset] | None,
) -> dict[str, Split]:
    """Every split that the recipe names; all are opened before one is read."""
    data = recipe.data
    evaluated = (*data.evaluation, recipe.validation)
    if data.train in evaluated:
        raise UsageError(f"recipe {recipe.name}: data.train={data.train}: a network is not evaluated on its training split; use val")
    opened = open_splits(data, evaluated, data_root)
    opened[data.train] = select_training_images(opened[data.train], data, recipe.seed)
    opened = {split: dataset if change is None else change(split, dataset) for split, dataset in opened.items()}
    loss = losses.get(losses.parse_one(recipe.loss).name)
    per_class = "class masks" in loss.facts.needs
    images = dict[str, Split]()
    for split, dataset in opened.items():
        usual = default_workers(len(dataset.ids), on_disk=is_read_from_files(data.dataset, dataset)) // processes
        count, every = usual if workers is None else workers, per_class and split == data.train
        images[split] = load_split(dataset, memory=data.in_memory, regions=data.object_regions, per_class=every, workers=count)
    check_batch(images[data.train], recipe.batch_size)
    if "masks" in loss.facts.needs and not images[data.train].has_masks:
        raise UsageError(
            f"recipe {recipe.name}: loss={loss.name}: needs masks, and {data.dataset} has no {data.object_regions}; use another data set"
        )
    return images


def _provenance(
    recipe: TrainingRecipe, classifier: Classifier, result: TrainingResult, scores: dict[str, ValidationScores], splits: dict[str, Split]
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
        "epoch": result.epoch,
        "learned_from": {
            "images": len(train_images),
            **recipe.data.model_dump(include={"labelled_fraction", "shots", "episode", "labels"}),
        },
        "recipe": recipe.model_dump(mode="json") | {"loss": recorded_loss(recipe.loss)},
        **({"loss": about} if (about := loss_record(recipe.loss)) else {}),
        "seed": recipe.seed,
        "fingerprints": {split: images.fingerprint for split, images in splits.items()},
        "threads": torch.get_num_threads(),
        "date": now(),
    }


def _stated(classifier: Classifier) -> str:
    """What a classifier states beside its network, as text."""
    numbers = [classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()]
    names = ("layer", "output", "batch_mates", "prefix_tokens", "channels", "precision")
    return repr([*numbers, *(getattr(classifier, name) for name in names)])


def _finite(found: ValidationScores) -> dict[str, float]:
    return {name: value for name, value in found._asdict().items() if math.isfinite(value)}  # JSON knows no NaN


def pretrain(recipe: TrainingRecipe, out: Path, train: Callable[[TrainingRecipe], Path]) -> Path | None:
    """The checkpoint of a recipe's `pretraining`, existing or trained now; None without one.

    An existing checkpoint is reused if its recipe is identical; another one of its name is replaced.
    """
    first = recipe.pretraining_recipe()
    if first is None:
        return None
    path = out / f"{first.name}.safetensors"
    with own_losses(first.loss) as spec:
        first = first.model_copy(update={"loss": spec})
        return path if path.is_file() and _made_by(path.with_suffix(".json"), first) else train(first)


def _made_by(facts: Path, recipe: TrainingRecipe) -> bool:
    try:
        about = read_json(facts, fix="train again")
        made = dict(about.get("recipe", {}))
        source = network_source(recipe.network)
        if source is not None and about.get("network_code") != source.code:
            return False
        same_loss = made.pop("loss", None) == recorded_loss(recipe.loss) and about.get("loss", {}) == loss_record(recipe.loss)
        return same_loss and check_recipe(made | {"loss": recipe.loss}, str(facts)) == recipe
    except UsageError:  # no known recipe
        return False
