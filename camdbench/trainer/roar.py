"""ROAR and KAR: accuracy of networks trained from scratch on images without their most, or least, relevant pixels.

Hooker et al. 2019, arXiv:1806.10758. A network that is trained and tested on degraded images can read the class from the shape of the
removed region (Song et al. 2023, arXiv:2304.13836): the accuracy of a network trained on the masks alone stands beside the others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from camdbench.core.errors import UsageError, unknown
from camdbench.core.files import read_json
from camdbench.core.provenance import versions
from camdbench.core.registries import parse_explainers
from camdbench.core.spec import Spec
from camdbench.core.target_rules import check_target_rule
from camdbench.core.written_files import make_folder
from camdbench.datasets.degraded import Degraded, Elements, Fill, Replacement
from camdbench.datasets.open_dataset import available_annotations, check_dataset, is_own_data
from camdbench.datasets.samples import Dataset
from camdbench.models.zoo import load_classifier
from camdbench.trainer.checkpoint import write_csv, write_json
from camdbench.trainer.degraded_maps import StoredMaps, mean_colour, store_maps
from camdbench.trainer.in_memory_split import open_splits, select_training_images
from camdbench.trainer.recipe import TrainingRecipe, read_recipe
from camdbench.trainer.recipe_fields import with_changes
from camdbench.trainer.train import train

Mode = Literal["roar", "kar"]
SHARES = (10.0, 30.0, 50.0, 70.0, 90.0)
_ORDERS: dict[str, Literal["most", "least"]] = {"roar": "most", "kar": "least", "masks": "most"}


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        mode: `base` on whole images, `roar` and `kar` without the most and least relevant pixels, `masks` on the masks of `roar` alone.
        explainer: explainer that ranks the pixels; `none` in `base`.
        share: percentage of the pixels that is replaced.
        seed: seed of the training.
    """

    mode: Literal["base", "roar", "kar", "masks"]
    explainer: str
    share: float
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        digest = hashlib.sha256(self.explainer.encode()).hexdigest()[:8]
        return f"{self.mode}-{digest}-{self.share:g}-seed{self.seed}" if self.mode != "base" else f"base-seed{self.seed}"


class RoarProgress(NamedTuple):
    """A training that begins: its number, counted from 1, their number, and what it is."""

    number: int
    total: int
    training: Training


@dataclass(frozen=True)
class RoarPlan:
    """All trainings of a call.

    Attributes:
        recipe: the recipe, without initial weights.
        explainers: explainers that rank the pixels.
        shares: percentages of replaced pixels, in (0, 100].
        seeds: number of seeds, counted from the recipe's.
        modes: `roar`, `kar` or both.
        fill: what replaces a pixel.
        target: rule of the explained class; `label` explains the test images for their true class.
        elements: what is ranked and replaced: `pixels` in all channels, or each of the 3 H W `values` alone.
    """

    recipe: TrainingRecipe
    explainers: tuple[Spec, ...]
    shares: tuple[float, ...]
    seeds: int
    modes: tuple[Mode, ...]
    fill: Fill
    target: str
    elements: Elements = "pixels"

    def trainings(self) -> Iterator[Training]:
        """Whole images first; masks alone once for each explainer and share, by the recipe's seed."""
        seeds = range(self.recipe.seed, self.recipe.seed + self.seeds)
        for seed in seeds:
            yield Training("base", "none", 0.0, seed)
        for explainer in map(str, self.explainers):
            for share in self.shares:
                yield Training("masks", explainer, share, self.recipe.seed)
                yield from (Training(mode, explainer, share, seed) for mode in self.modes for seed in seeds)


def plan_roar(
    recipe: str | Path | TrainingRecipe,
    *,
    explainers: str | Sequence[str] = "gradcam,random,edges",
    shares: Sequence[float] = SHARES,
    seeds: int = 5,
    modes: Sequence[Mode] = ("roar", "kar"),
    fill: Fill = "mean",
    elements: Elements = "pixels",
    target: str = "predicted",
    data_root: str | Path | None = None,
) -> RoarPlan:
    """Check a request and list its trainings; arguments as of `roar`.

    Raises:
        UsageError: an argument is wrong, or the recipe does not start from random weights.
    """
    plan = read_recipe(recipe) if not isinstance(recipe, TrainingRecipe) else recipe
    if plan.init is not None or plan.pretraining is not None:
        field = "init" if plan.init is not None else "pretraining"
        raise UsageError(f"recipe {plan.name}: {field}: ROAR trains each network from random weights; remove {field}")
    if not shares or not all(0 < share <= 100 for share in shares) or len(set(shares)) < len(shares):
        raise UsageError(f"--shares {','.join(f'{own:g}' for own in shares)}: expected different percentages above 0, up to 100")
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: expected 1 or more")
    named = ((fill, get_args(Fill), "fill"), (elements, get_args(Elements), "elements"))
    for given, known, flag in (*named, *((mode, get_args(Mode), "mode") for mode in modes)):
        if given not in known:
            raise unknown(flag, given, known)
    specs = parse_explainers(explainers, _annotations(plan, data_root))
    if not specs:
        raise UsageError("--explainers none: ROAR ranks pixels by maps; name at least one explainer")
    rule = str(check_target_rule(target, labels=True))
    return RoarPlan(plan, specs, tuple(map(float, shares)), seeds, tuple(modes), fill, rule, elements)


def roar(
    recipe: str | Path | TrainingRecipe,
    *,
    out: str | Path,
    explainers: str | Sequence[str] = "gradcam,random,edges",
    shares: Sequence[float] = SHARES,
    seeds: int = 5,
    modes: Sequence[Mode] = ("roar", "kar"),
    fill: Fill = "mean",
    elements: Elements = "pixels",
    target: str = "predicted",
    device: str = "auto",
    data_root: str | Path | None = None,
    workers: int = 0,
    progress: Callable[[RoarProgress], None] | None = None,
) -> list[dict[str, Any]]:
    """Remove and retrain, keep and retrain: accuracy after training on images without their most or least relevant pixels.

    Maps are those of the network of the first seed, trained on whole images. All trainings of a seed start from the same weights. A call
    that is repeated goes on where it was interrupted; weights of finished trainings but the first are removed.

    Args:
        recipe: path of a YAML file, or a recipe, which starts from random weights.
        out: folder of maps, trainings and `roar.csv`.
        explainers: explainers that rank the pixels, with controls to compare them with, such as `random` and `edges`.
        shares: percentages of the pixels that are replaced, in (0, 100].
        seeds: number of trainings for each explainer, share and mode, with seeds from the recipe's on.
        modes: `roar` replaces the most relevant pixels, where a low accuracy is better; `kar` the least relevant, where a high one is.
        fill: the `mean` colour of the training images, or `noisy linear` imputation.
        elements: what is ranked and replaced: `pixels` in all channels, as in the paper, or each of the 3 H W `values` alone, as in the
            released code; there, a pixel whose relevance equals that of others may lose some of its channels.
        target: rule of the explained class; `label` explains the test images for their true class.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        data_root: folder of a data set on disk.
        workers: processes that read images.
        progress: called before each training.

    Returns:
        One row for each training and evaluated split: mode, explainer, share, seed, split, images, accuracy in per cent.

    Raises:
        UsageError: an argument is wrong; raised before training.
        CamdbenchError: an image cannot be read, a map is not finite, or a file cannot be written.
    """
    how = {"explainers": explainers, "shares": shares, "seeds": seeds, "modes": modes, "fill": fill, "elements": elements, "target": target}
    plan = plan_roar(recipe, data_root=data_root, **how)  # type: ignore[arg-type]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("ROAR is run by one process; leave torchrun out")
    root = Path(out)
    make_folder(root, "--out")
    everything, rows = list(plan.trainings()), list[dict[str, Any]]()
    run = _Run(plan, root, {"device": device, "data_root": data_root, "workers": workers})
    for number, training in enumerate(everything, 1):
        if progress is not None:
            progress(RoarProgress(number, len(everything), training))
        scores = run.scores(training)
        about = {**asdict(training)}
        rows += [{**about, "split": split, "images": own["count"], "accuracy": 100 * own["accuracy"]} for split, own in scores.items()]
    write_csv(root / "roar.csv", rows)
    return rows


class _Run:
    """The trainings of a plan in a folder, and the maps and colour that they share."""

    def __init__(self, plan: RoarPlan, root: Path, how: Mapping[str, Any]) -> None:
        self.plan, self.root, self.how = plan, root, how
        self._maps = dict[str, dict[str, StoredMaps]]()
        self._prints = dict[int, dict[str, str]]()
        self._colour: tuple[float, ...] | None = None

    def scores(self, training: Training) -> dict[str, dict[str, float]]:
        """Scores by split of a training, read if it is finished."""
        folder, keeps = self.root / training.folder, training.folder == Training("base", "none", 0.0, self.plan.recipe.seed).folder
        change = None if training.mode == "base" else partial(self._degraded, training)
        recipe = with_changes(self.plan.recipe, seed=training.seed)
        key, file = self._key(training, recipe), folder / "scores.json"
        if file.is_file() and (known := read_json(file, fix="delete it and repeat the command")).get("key") == key:
            return known["scores"]
        path = train(recipe, out=folder, change_data=change, **self.how)
        found = read_json(path.with_suffix(".json"), fix="repeat the command")["metrics"]
        write_json(file, {"key": key, "scores": found})
        if not keeps:
            path.unlink()
        return found

    def _key(self, training: Training, recipe: TrainingRecipe) -> str:
        """Hash over everything that decides the scores of a training."""
        splits = self._fingerprints(training.seed)
        facts: list[Any] = [recipe.model_dump(mode="json"), asdict(training), splits, versions()]
        if training.mode != "base":
            facts += [self._replacement(training), {split: own.digest for split, own in self._maps_of(training.explainer).items()}]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _splits(self, seed: int) -> dict[str, Dataset]:
        data = self.plan.recipe.data
        opened = open_splits(data, (*data.evaluation, self.plan.recipe.validation), self.how["data_root"])
        return opened | {data.train: select_training_images(opened[data.train], data, seed)}

    def _fingerprints(self, seed: int) -> dict[str, str]:
        """Fingerprints of the splits of a seed, computed once: they read the files of a data set."""
        if seed not in self._prints:
            self._prints[seed] = {split: own.fingerprint() for split, own in self._splits(seed).items()}
        return self._prints[seed]

    def _degraded(self, training: Training, split: str, dataset: Dataset) -> Dataset:
        stored = self._maps_of(training.explainer)[split]
        return Degraded(dataset, stored.file, stored.digest, self._replacement(training), self.plan.recipe.seed)

    def _replacement(self, training: Training) -> Replacement:
        if self._colour is None:
            self._colour = mean_colour(self._splits(self.plan.recipe.seed)[self.plan.recipe.data.train], self.how["workers"])
        shows: Literal["images", "masks"] = "masks" if training.mode == "masks" else "images"
        return Replacement(training.share, _ORDERS[training.mode], self.plan.fill, self._colour, shows, self.plan.elements)

    def _maps_of(self, explainer: str) -> dict[str, StoredMaps]:
        """Maps of an explainer for every split, of the network trained on whole images by the recipe's seed."""
        if explainer not in self._maps:
            first = Training("base", "none", 0.0, self.plan.recipe.seed)
            classifier = load_classifier(str(self.root / first.folder / f"{self.plan.recipe.name}.safetensors"), device=self.how["device"])
            splits = self._splits(first.seed)
            facts = [classifier.weights_hash(), explainer, self.plan.target, self._fingerprints(first.seed)]
            folder = self.root / "maps" / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
            [spec] = [own for own in self.plan.explainers if str(own) == explainer]
            self._maps[explainer] = store_maps(
                classifier, splits, spec, folder, target=self.plan.target, seed=first.seed, workers=self.how["workers"]
            )
        return self._maps[explainer]


def _annotations(recipe: TrainingRecipe, data_root: str | Path | None) -> tuple[str, ...]:
    """Annotations that an explainer may need."""
    if is_own_data(recipe.data.dataset):
        return ("boxes", "masks")
    return available_annotations(*check_dataset(recipe.data.dataset, recipe.data.train, data_root), data_root)
