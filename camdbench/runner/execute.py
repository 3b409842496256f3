"""Execute units: a worker keeps the data set and the last model open, and does one unit after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from camdbench.core.registry import PLUGINS, load_plugin
from camdbench.core.spec import Spec
from camdbench.datasets.opening import open_dataset
from camdbench.datasets.samples import Dataset
from camdbench.datasets.subsets import chosen
from camdbench.explainers.common.saliency import saliency
from camdbench.models.classifier import Classifier, Passes
from camdbench.models.devices import machine
from camdbench.models.zoo import load_classifier
from camdbench.runner.desk import Desk
from camdbench.runner.judge import MapSource
from camdbench.runner.others import Others
from camdbench.runner.plan import Unit
from camdbench.runner.reading import Feed
from camdbench.runner.request import Request
from camdbench.runner.saved_maps import SavedMaps
from camdbench.runner.store import Store


class Outcome(NamedTuple):
    """What a unit took and left.

    Attributes:
        unit: the unit.
        passes: image passes made, shared ones counted once.
        batch_size: the batch size it ended with.
        machine: where it was computed.
        boxes_lost: boxes of which the preprocessing left nothing in the image.
    """

    unit: Unit
    passes: Passes
    batch_size: int
    machine: dict[str, Any]
    boxes_lost: int = 0


class Worker:
    """Executes units in one process, with the data set and the last model kept open.

    Args:
        request: what was asked for.
        root: the run directory.
        batch_size: images at a time; halved for good when the device runs out of memory.
        device: `auto`, `cpu`, `cuda`, ….
        download: whether torchvision may fetch weights.
        workers: number of processes that read images.
        plugins: files to load first, in a process that has not loaded them.
        opened: the data set to open where it cannot be opened as it was asked for, from another folder.
    """

    def __init__(
        self,
        request: Request,
        root: Path,
        batch_size: int,
        device: str,
        download: bool,
        workers: int = 0,
        plugins: Sequence[str] = (),
        opened: Spec | None = None,
    ) -> None:
        for plugin in plugins:
            load_plugin(plugin)
        self.request, self.root, self.batch_size, self.workers = request, root, batch_size, workers
        self.device, self._download = device, download
        self._opened = opened or request.dataset
        self._loaded: tuple[str, Classifier] | None = None

    def elsewhere(self) -> tuple[Any, ...]:
        """The arguments of a worker like this one in another process, perhaps in another folder."""
        asked = self.request
        paths = {
            key: None if value is None else str(Path(value).resolve())
            for key, value in (("data_root", asked.data_root), ("weights", asked.weights), ("maps", asked.maps), ("ids", asked.ids))
        }
        models = tuple(str(Path(name).resolve()) if Path(name).is_file() else name for name in asked.models)
        request = replace(asked, models=models, **paths)
        opened = _wherever(self._opened)  # rows keep the name that was asked for
        return request, self.root.resolve(), self.batch_size, self.device, self._download, self.workers, tuple(PLUGINS), opened

    @cached_property
    def _whole(self) -> Dataset:
        asked = self.request
        return open_dataset(self._opened, asked.split, asked.data_root, download=self._download)

    @cached_property
    def dataset(self) -> Dataset:
        """Where samples come from."""
        asked = self.request
        return chosen(self._whole, limit=_at_most(asked.limit, self._whole), sample=asked.sample, ids=asked.ids, seed=asked.seed)

    @cached_property
    def store(self) -> Store:
        """Where parts go."""
        return Store(self.root)

    @cached_property
    def source(self) -> MapSource:
        """Where maps come from: the explainers, or what was saved."""
        asked = self.request
        return saliency if asked.maps is None else SavedMaps(asked.maps, asked.normalisation, self._whole.ids)

    @cached_property
    def others(self) -> Others:
        """The images that metrics compare with, drawn from all of the data set."""
        return Others(self._whole, seed=self.request.seed, target=self.request.target_rule)

    def classifier(self, name: str) -> Classifier:
        """The model of that name, on its device."""
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # make room first
            asked = self.request
            given: dict[str, Any] = {"weights": asked.weights, "layer": asked.layer, "mean": asked.mean, "std": asked.std}
            given["precision"] = asked.precision
            self._loaded = name, load_classifier(name, device=self.device, download=self._download, **given)
        return self._loaded[1]

    def execute(self, unit: Unit, feed: Feed | None = None) -> Outcome:
        """Judge the images of a unit and commit one part per explainer.

        Args:
            unit: what to do.
            feed: where its images come from; read for this unit alone where None.

        Raises:
            UsageError: the target rule cannot be met.
            CamdbenchError: a part cannot be written.
        """
        classifier = self.classifier(unit.model)
        before = classifier.passes
        with torch.inference_mode(mode=False), classifier.frozen():
            desk = Desk(classifier, self.request, self.store, self.source, self.batch_size, self.others)
            lost = desk.work(unit, feed or Feed(self.dataset, [unit], self.workers), self.dataset.ids[unit.start : unit.stop])
        self.batch_size = desk.batch_size
        return Outcome(unit, classifier.passes - before, self.batch_size, machine(classifier.device), lost)


def _at_most(limit: int | None, dataset: Dataset) -> int | None:
    """A limit beyond the data set's end asks for all of it."""
    return None if limit is None or limit >= len(dataset.ids) else limit


def _wherever(dataset: Spec) -> Spec:
    """The data set with the folder of its masks, if it names one, as an absolute path."""
    masks = dataset.arguments.get("masks")
    if not isinstance(masks, str) or not Path(masks).is_dir() or masks in ("gt", "bbox"):
        return dataset
    return Spec.of(dataset.name, dataset.arguments | {"masks": str(Path(masks).resolve())}, dataset.inner)
