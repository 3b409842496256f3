"""probe: train and score a segmentation head on the features of a classifier."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from camdbench.core.errors import UsageError
from camdbench.core.provenance import git_revision, now, versions
from camdbench.core.references import is_reference
from camdbench.core.registries import datasets
from camdbench.core.written_files import make_folder
from camdbench.datasets.open_dataset import available_annotations, is_own_data
from camdbench.datasets.samples import Dataset
from camdbench.models.devices import pick_device
from camdbench.models.network_identity import network_code
from camdbench.models.zoo import load_classifier
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.checkpoint import run_key, write_csv, write_json, write_weights
from camdbench.trainer.in_memory_split import InMemorySplit, check_batch, load_images, open_splits
from camdbench.trainer.loop import fit
from camdbench.trainer.own_splits import data_record
from camdbench.trainer.probe_recipe import ProbeRecipe, read_probe
from camdbench.trainer.recipe_fields import with_changes
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.tasks.segmentation import SegmentationTask, seeded
from camdbench.trainer.tasks.segmentation_score import SegmentationScore, pixel_classes, score_segmenter
from camdbench.trainer.tasks.segmenter import Segmenter, channels_at


@dataclass(frozen=True)
class ProbeResult:
    """A finished probe.

    Attributes:
        path: path of the weights.
        recipe: the recipe with the changes of the call.
        scores: scores by split.
    """

    path: Path
    recipe: ProbeRecipe
    scores: dict[str, SegmentationScore]


def probe(
    recipe: str | Path | ProbeRecipe,
    *,
    out: str | Path,
    model: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    epochs: int | None = None,
    data_root: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> ProbeResult:
    """Train a segmentation head on the features of a trained classifier, and score its segmentation.

    The head is torchvision's FCN head on the output of the classifier's target layer, the loss pixel cross-entropy. The
    last epoch's weights are scored. On a CPU, with one number of threads, the same recipe and seed yield the same
    weights. An interrupted run resumes after its last complete epoch.

    Args:
        recipe: path of a YAML file, or a recipe.
        out: folder for `NAME.safetensors`, `NAME.json`, `NAME.csv` and `NAME-SPLIT-confusion.csv`, created if missing;
            files of that name are replaced. It holds `NAME.resume` while a run is unfinished.
        model: replaces the recipe's model: a name, a checkpoint or a reference `FILE.py:FUNCTION(options)`.
        seed: replaces the recipe's seed.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        epochs: replaces the recipe's number of epochs.
        data_root: folder of a data set on disk; it is read into memory.
        progress: called with every line of the log.

    Raises:
        UsageError: the recipe is wrong, the data set has no masks, or the layer has no grid; raised before training.
        UnwritableFile: a file cannot be written; finished epochs are kept.
        CamdbenchError: the loss is not finite.
    """
    plan = with_changes(read_probe(recipe) if not isinstance(recipe, ProbeRecipe) else recipe, model=model, seed=seed, epochs=epochs)
    where = pick_device(device)
    origin: dict[str, object] = {"versions": versions(), "git": git_revision(), "threads": torch.get_num_threads()}
    _check_alone()
    began = _begin(plan, where, data_root)
    make_folder(Path(out), "--out")
    path = Path(out) / f"{plan.name}.safetensors"
    half = path.with_suffix(".resume")
    key = run_key(plan, began.fingerprints | {"weights": began.weights} | _code(plan, began) | data_record(plan.data.dataset), where)
    with open_accelerator(plan, where) as accelerator:
        task = SegmentationTask(began.segmenter, began.splits[plan.data.train], plan, where)
        result = fit(task, plan, accelerator, resume=(half, key), progress=progress)
    scores = {
        split: score_segmenter(began.segmenter, began.splits[split], background=plan.background, device=where)
        for split in plan.data.evaluation
    }
    path.unlink(missing_ok=True)  # of another training: weights never stand beside the files of other weights
    write_csv(path.with_suffix(".csv"), [line.flat() for line in result.log])
    for split, score in scores.items():
        write_csv(path.with_name(f"{plan.name}-{split}-confusion.csv"), _confusion(score))
    write_json(path.with_suffix(".json"), _provenance(plan, began, scores) | origin | {"device": where.type})
    write_weights(path, result.state)  # last: if the weights exist, so do the other files
    half.unlink(missing_ok=True)
    return ProbeResult(path, plan, scores)


def _code(recipe: ProbeRecipe, began: _Beginning) -> dict[str, str]:
    """Hash of the code of a user's model."""
    return {"code": network_code(began.segmenter.classifier.network)} if is_reference(recipe.model) else {}


@dataclass(frozen=True)
class _Beginning:
    """State before training; `weights` is the hash of the classifier's weights."""

    segmenter: Segmenter
    splits: dict[str, InMemorySplit]
    weights: str

    @property
    def fingerprints(self) -> dict[str, str]:
        return {name: split.fingerprint for name, split in self.splits.items()}


def _begin(recipe: ProbeRecipe, device: torch.device, data_root: str | Path | None) -> _Beginning:
    """The classifier with a head of random weights, and the splits in memory."""
    with seeded(recipe.seed, "classifier", torch.device("cpu")):  # a network has random weights before its weights are read
        classifier = load_classifier(recipe.model, device=str(device))
    layer, weights = classifier.layer_name(recipe.layer), classifier.weights_hash()
    opened = _open(recipe, data_root)
    channels = channels_at(classifier, layer, opened[recipe.data.train][0].image)
    splits = {split: load_images(dataset, "class maps") for split, dataset in opened.items()}
    with seeded(recipe.seed, "head", torch.device("cpu")):
        count = len(pixel_classes(splits[recipe.data.train]))
        segmenter = Segmenter(classifier, channels, count, layer=layer, backbone=recipe.backbone)
    return _Beginning(segmenter.to(device), splits, weights)


def _check_alone() -> None:
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        raise UsageError(f"a probe is trained by one process, and torchrun started {size}; leave torchrun out")


def _open(recipe: ProbeRecipe, data_root: str | Path | None) -> dict[str, Dataset]:
    """Every split that the recipe names, checked; images are not read."""
    data = recipe.data
    opened = open_splits(data, data.evaluation, data_root)
    for split in opened:
        if not _has_masks(data.dataset, opened[split], split, data_root):
            known = ", ".join(entry.name for entry in datasets if "masks" in entry.facts.gives)
            shown = data.dataset if is_own_data(data.dataset) else datasets.parse_one(data.dataset).name
            raise UsageError(f"recipe {recipe.name}: data set {shown} has no masks of split {split}; use one of {known}")
    check_batch(opened[data.train].ids, recipe.batch_size)
    return opened


def _has_masks(text: str, dataset: Dataset, split: str, data_root: str | Path | None) -> bool:
    if is_own_data(text):
        return dataset[0].mask is not None
    return "masks" in available_annotations(datasets.parse_one(text), split, data_root)


def _provenance(recipe: ProbeRecipe, began: _Beginning, scores: dict[str, SegmentationScore]) -> dict[str, object]:
    train = began.splits[recipe.data.train]
    return {
        "name": recipe.name,
        "model": recipe.model,
        "layer": began.segmenter.layer,
        "weights": began.weights,
        "classes": list(pixel_classes(train)),
        "input_size": train.size[-1],
        "metrics": {split: _finite(score) for split, score in scores.items()},
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "fingerprints": began.fingerprints,
        "date": now(),
    }


def _finite(score: SegmentationScore) -> dict[str, object]:
    """The score for JSON, without NaN and without the matrix, which is a CSV file."""
    numbers = {name: getattr(score, name) for name in ("miou", "low", "high", "accuracy", "majority")}
    classes = {name: value for name, value in score.classes.items() if math.isfinite(value)}
    return {"count": score.count, **{name: value for name, value in numbers.items() if math.isfinite(value)}, "classes": classes}


def _confusion(score: SegmentationScore) -> list[dict[str, object]]:
    """One line per true class, one column per predicted class."""
    names = list(score.classes)
    return [{"true": name, **dict(zip(names, row, strict=True))} for name, row in zip(names, score.matrix.tolist(), strict=True)]
