"""Execute one unit: read its images, judge them batch by batch, commit one part per explainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camdbench.core.catalogue import protocol_of
from camdbench.core.registry import PLUGINS, load_plugin
from camdbench.core.rows import Row
from camdbench.core.spec import Spec
from camdbench.datasets.loading import Damaged
from camdbench.datasets.opening import open_dataset
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.datasets.subsets import chosen
from camdbench.explainers.ledger import Cost
from camdbench.explainers.saliency import saliency
from camdbench.models.classifier import Classifier, Passes
from camdbench.models.devices import machine
from camdbench.models.zoo import load_classifier
from camdbench.runner.judge import Judged, MapSource, Points, Verdict, is_out_of_memory, judge, metrics_for
from camdbench.runner.plan import Unit
from camdbench.runner.reading import Feed
from camdbench.runner.request import Request
from camdbench.runner.saved_maps import SavedMaps, packed
from camdbench.runner.store import CostRow, PointBlock, Store


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
    """

    def __init__(
        self, request: Request, root: Path, batch_size: int, device: str, download: bool, workers: int = 0, plugins: Sequence[str] = ()
    ) -> None:
        for plugin in plugins:
            load_plugin(plugin)
        self.request, self.root, self.batch_size, self.workers = request, root, batch_size, workers
        self.device, self._download = device, download
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
        return request, self.root.resolve(), self.batch_size, self.device, self._download, self.workers, tuple(PLUGINS)

    @cached_property
    def _whole(self) -> Dataset:
        asked = self.request
        return open_dataset(asked.dataset, asked.split, asked.data_root, download=self._download)

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

    def classifier(self, name: str) -> Classifier:
        """The model of that name, on its device."""
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # make room first
            asked = self.request
            given: dict[str, Any] = {"weights": asked.weights, "layer": asked.layer, "mean": asked.mean, "std": asked.std}
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
            lost = _Desk(self, classifier).work(unit, feed or Feed(self.dataset, [unit], self.workers))
        return Outcome(unit, classifier.passes - before, self.batch_size, machine(classifier.device), lost)


class _Desk:
    """One unit's work with one model."""

    def __init__(self, worker: Worker, classifier: Classifier) -> None:
        self.worker, self.classifier = worker, classifier
        self.request, self.dataset, self.store = worker.request, worker.dataset, worker.store
        known = {spec: protocol_of(spec) for spec in self.request.metrics}
        self.protocols = {spec: (protocol.name, protocol.digest(spec.name)) for spec, protocol in known.items()}

    def work(self, unit: Unit, feed: Feed) -> int:
        """Read, judge, commit; the number of boxes that the preprocessing lost."""
        verdicts: dict[Spec, list[tuple[str, int, Verdict]]] = {spec: [] for spec in unit.explainers}
        points: dict[Spec, list[PointBlock]] = {spec: [] for spec in unit.explainers}
        costs: dict[Spec, dict[str, Cost]] = {spec: {} for spec in unit.explainers}
        raw: dict[Spec, dict[str, Tensor]] = {spec: {} for spec in unit.explainers}
        samples, damaged = _told_apart(feed, unit)
        _reset_peak(self.classifier.device)
        for batch in _batches(samples, self.worker.batch_size):
            for part, judged in self._judged(batch, unit.explainers):
                labels = part.labels.tolist()
                for spec, found in judged.items():
                    verdicts[spec] += [(part.ids[v.image], labels[v.image], v) for v in found.verdicts]
                    points[spec] += [_block(part.ids, item) for item in found.points]
                    for stage, cost in found.costs.items():
                        costs[spec][stage] = costs[spec].get(stage, Cost()) + cost
                    if found.raw is not None and self.request.save_maps:
                        raw[spec] |= dict(zip(part.ids, found.raw.cpu().unbind(), strict=True))
        order = {name: position for position, name in enumerate(self.dataset.ids[unit.start : unit.stop])}
        for spec in unit.explainers:
            rows = [self._row(spec, *item) for item in verdicts[spec]] + self._damaged_rows(spec, damaged)
            rows.sort(key=lambda row: order[row.image])  # stable: metrics stay in the order asked for
            maps = packed(raw[spec], list(order)) if self.request.save_maps else None
            spent = _cost_rows(costs[spec], len(samples), self.classifier.device)
            self.store.commit(unit.job(self.classifier.name, spec), rows, points[spec], spent, maps)
        return sum(sample.boxes_lost for sample in samples)

    def _judged(self, batch: Batch, explainers: Sequence[Spec]) -> Iterator[tuple[Batch, dict[Spec, Judged]]]:
        """Judge a batch, in halves of halves where the device runs out of memory."""
        pending = [batch]
        while pending:
            part = pending.pop(0)
            if len(part) > self.worker.batch_size:
                size = self.worker.batch_size
                pending = [part.part(0, size), part.part(size, len(part)), *pending]
                continue
            try:
                moved, asked = part.to(self.classifier.device), self.request
                judged = judge(
                    self.classifier,
                    moved,
                    explainers,
                    asked.metrics,
                    target=asked.target_rule,
                    seed=asked.seed,
                    source=self.worker.source,
                )
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) > 1:
                    self.worker.batch_size = len(part) // 2
                    pending.insert(0, part)
                    continue
                judged = _out_of_memory(explainers, self.request.metrics)
            yield part, judged

    def _row(self, explainer: Spec, image: str, label: int, verdict: Verdict) -> Row:
        protocol, protocol_hash = self.protocols[verdict.metric]
        return Row(
            run=self.store.root.name,
            dataset=str(self.request.dataset),
            split=self.request.split,
            image=image,
            label=label,
            model=self.classifier.name,
            explainer=str(explainer),
            target_rule=self.request.target_rule,
            target=verdict.target,
            metric=str(verdict.metric),
            protocol=protocol,
            protocol_hash=protocol_hash,
            value=verdict.value,
            status=verdict.status,
            reason=verdict.reason,
        )

    def _damaged_rows(self, explainer: Spec, damaged: dict[str, tuple[int, str]]) -> list[Row]:
        return [
            self._row(explainer, image, label, Verdict(-1, -1, metric, float("nan"), "error", reason))
            for image, (label, reason) in damaged.items()
            for metric in metrics_for(explainer, self.request.metrics)
        ]


def _told_apart(feed: Feed, unit: Unit) -> tuple[list[Sample], dict[str, tuple[int, str]]]:
    """The samples that can be read, and label and reason of those that cannot."""
    samples, damaged = list[Sample](), dict[str, tuple[int, str]]()
    for item in feed.take(unit):
        if isinstance(item, Damaged):
            damaged[item.id] = item.label, item.reason
        else:
            samples.append(item)
    return samples, damaged


def _at_most(limit: int | None, dataset: Dataset) -> int | None:
    """A limit beyond the data set's end asks for all of it."""
    return None if limit is None or limit >= len(dataset.ids) else limit


def _batches(samples: Sequence[Sample], batch_size: int) -> Iterator[Batch]:
    """Batches of images of one size, in order within each size."""
    by_size = dict[tuple[int, ...], list[Sample]]()
    for sample in samples:
        by_size.setdefault(tuple(sample.image.shape), []).append(sample)
    for same in by_size.values():
        for start in range(0, len(same), batch_size):
            yield Batch.of(same[start : start + batch_size])


def _out_of_memory(explainers: Sequence[Spec], metrics: Sequence[Spec]) -> dict[Spec, Judged]:
    reason = "out of memory with a batch of one image"
    return {
        spec: Judged([Verdict(0, -1, metric, float("nan"), "error", reason) for metric in metrics_for(spec, metrics)])
        for spec in explainers
    }


def _block(ids: Sequence[str], points: Points) -> PointBlock:
    x, y = points.curve
    return PointBlock(str(points.metric), points.part, [ids[image] for image in points.images], x.cpu().numpy(), y.cpu().numpy())


def _cost_rows(costs: dict[str, Cost], images: int, device: torch.device) -> list[CostRow]:
    peak = _peak_mb(device)
    return [CostRow(stage, images, **asdict(cost.passes), seconds=cost.seconds, peak_memory_mb=peak) for stage, cost in costs.items()]


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mb(device: torch.device) -> float:
    """The highest memory use, in MB of 10^6 bytes: of the GPU since the unit began, or of this process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
