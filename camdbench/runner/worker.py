"""Worker: explains and scores one chunk of images, and writes one part per explainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch

from camdbench.core.registries import protocol_of
from camdbench.core.registry import load_plugin
from camdbench.core.spec import Spec
from camdbench.datasets.loading import Read, UnreadableImage, prefetch
from camdbench.datasets.samples import Batch, Dataset, Sample, batches
from camdbench.models.classifier import Classifier, PassCounts
from camdbench.models.devices import machine
from camdbench.runner.partial_results import PartialResults
from camdbench.runner.plan import PartKey, Unit
from camdbench.runner.resources import Resources
from camdbench.runner.results import BatchResult, MetricScores, curve_table, raw_maps, total_usage
from camdbench.runner.run_directory import RunDirectory, UsageRow
from camdbench.runner.saved_maps import pack
from camdbench.runner.scoring import is_out_of_memory, metrics_for, score_batch


@dataclass(frozen=True)
class UnitSummary:
    """What a unit took, and its results if they are not in files.

    Attributes:
        unit: the unit.
        passes: image passes, shared ones counted once.
        batch_size: batch size at its end.
        machine: device and threads.
        boxes_dropped: boxes of which the preprocessing left nothing in the image.
        results: results, if there is no run directory.
    """

    unit: Unit
    passes: PassCounts
    batch_size: int
    machine: dict[str, Any]
    boxes_dropped: int = 0
    results: tuple[BatchResult, ...] = ()


class SampleLoader:
    """Images of the units to come, loaded by worker processes while the network computes.

    Args:
        dataset: the images of the run.
        units: the units, in the order of execution.
        workers: number of processes; 0 loads an image when it is asked for.
    """

    def __init__(self, dataset: Dataset, units: Sequence[Unit], workers: int) -> None:
        self._stream = prefetch(dataset, [index for unit in units for index in range(unit.start, unit.stop)], workers=workers)

    def take(self, unit: Unit) -> list[Read]:
        """The images of the next unit."""
        return list(islice(self._stream, unit.stop - unit.start))

    def close(self) -> None:
        """End the processes."""
        self._stream.close()


class Worker:
    """Computes units in one process; it keeps its batch size from one unit to the next.

    Args:
        resources: data set, models and maps.
        directory: where parts are written; None returns the results.
        plugins: files to load first, in a process that has not loaded them.
    """

    def __init__(self, resources: Resources, directory: RunDirectory | None, plugins: Sequence[str] = ()) -> None:
        for plugin in plugins:
            load_plugin(plugin)
        self.resources, self.directory, self.request = resources, directory, resources.checked_request
        self.batch_size = self.request.config.batch_size
        known = {spec: protocol_of(spec) for spec in self.request.metrics}
        self._protocols = {str(spec): (protocol.name, protocol.digest(spec.name)) for spec, protocol in known.items()}

    def run(self, unit: Unit, loader: SampleLoader | None = None) -> UnitSummary:
        """Explain and score the images of a unit.

        Args:
            unit: the unit; what an interrupted session computed of it is not computed again.
            loader: where its images come from; default: a loader of this unit alone.

        Raises:
            UsageError: the target rule cannot be met.
            CamdbenchError: a part cannot be written.
        """
        classifier, data = self.resources.classifier(unit.model), self.resources.images
        before = classifier.passes
        _reset_peak(classifier.device)
        samples, damaged = _split_readable((loader or SampleLoader(data, [unit], self.resources.workers)).take(unit))
        name, results = self.resources.row_name(classifier), list[BatchResult]()
        with torch.inference_mode(mode=False), classifier.frozen(), self._partial(name, unit) as partial:
            readable = {sample.id for sample in samples}
            results += [result for result in partial.load(unit.explainers) if readable.issuperset(result.ids)]
            for result in self._compute(classifier, samples, _missing_explainers(samples, unit.explainers, results)):
                results.append(result)
                partial.add(result)
            if self.directory is not None:
                for spec in unit.explainers:
                    key, ids = PartKey(name, str(spec), unit.chunk), data.ids[unit.start : unit.stop]
                    self._write(self.directory, key, results, damaged, ids, classifier.device)
            partial.clear()
        dropped, kept = sum(sample.boxes_dropped for sample in samples), tuple(results) if self.directory is None else ()
        return UnitSummary(unit, classifier.passes - before, self.batch_size, machine(classifier.device), dropped, kept)

    def _partial(self, name: str, unit: Unit) -> PartialResults:
        return PartialResults(None if self.directory is None else self.directory.partial(name, unit.chunk))

    def _compute(self, classifier: Classifier, samples: Sequence[Sample], lacking: dict[str, tuple[Spec, ...]]) -> Iterator[BatchResult]:
        """Compute what is lacking; if memory runs out, halves of the batch with the explainers that are left."""
        asked, source, others = self.request, self.resources.source, self.resources.reference_images
        given: dict[str, Any] = {"target": asked.target_rule, "seed": asked.config.seed, "source": source, "others": others}
        for batch, explainers in _batches(samples, lacking, self.batch_size):
            pending = [(batch, explainers)]
            while pending:
                part, left = pending.pop(0)
                if len(part) > self.batch_size:
                    size = self.batch_size
                    pending = [(part.part(0, size), left), (part.part(size, len(part)), left), *pending]
                    continue
                try:
                    moved = part.to(classifier.device)
                    for result in score_batch(classifier, moved, left, asked.metrics, **given, keep_maps=asked.save_maps):
                        left = left[1:]
                        yield result
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if len(part) > 1:
                        self.batch_size = len(part) // 2
                    else:
                        yield self._failed(left[0], part.ids, tuple(part.labels.tolist()), "out of memory with a batch of one image")
                        left = left[1:]
                    pending.insert(0, (part, left))

    def _write(
        self,
        directory: RunDirectory,
        key: PartKey,
        results: Sequence[BatchResult],
        damaged: Sequence[UnreadableImage],
        ids: Sequence[str],
        device: torch.device,
    ) -> None:
        """Write the part of one explainer, image by image; metrics stay in the order asked for."""
        asked, order = self.request, {name: place for place, name in enumerate(ids)}
        own = sorted((result for result in results if result.explainer == key.explainer), key=lambda result: order[result.ids[0]])
        spec = next(spec for spec in asked.jobs if str(spec) == key.explainer)
        failed = [self._failed(spec, (item.id,), (item.label,), item.reason) for item in damaged]
        facts = {
            "run": directory.root.name,
            "dataset": str(asked.dataset),
            "split": asked.split,
            "model": key.model,
            "target_rule": asked.target_rule,
        }
        rows = [row for result in (*own, *failed) for row in result.rows(facts, self._protocols)]
        rows.sort(key=lambda row: order[row.image])
        maps = pack(raw_maps(own), ids) if asked.save_maps else None
        peak, usage = _peak_mb(device), total_usage(own)
        images = len(ids) - len(damaged)
        spent = [UsageRow(stage, images, **asdict(one.passes), seconds=one.seconds, peak_memory_mb=peak) for stage, one in usage.items()]
        directory.write(key, rows, curve_table(own), spent, maps)

    def _failed(self, explainer: Spec, ids: tuple[str, ...], labels: tuple[int, ...], reason: str) -> BatchResult:
        wanted = metrics_for(explainer, self.request.metrics)
        scores = {str(metric): MetricScores.failed(len(ids), "error", reason) for metric in wanted}
        return BatchResult(str(explainer), ids, labels, (-1,) * len(ids), scores)


def _split_readable(items: Sequence[Read]) -> tuple[list[Sample], list[UnreadableImage]]:
    """The images that can be read, and those that cannot."""
    return [item for item in items if not isinstance(item, UnreadableImage)], [item for item in items if isinstance(item, UnreadableImage)]


def _missing_explainers(
    samples: Sequence[Sample], explainers: Sequence[Spec], results: Sequence[BatchResult]
) -> dict[str, tuple[Spec, ...]]:
    """The explainers that each image lacks."""
    there = {(result.explainer, image) for result in results for image in result.ids}
    return {sample.id: tuple(spec for spec in explainers if (str(spec), sample.id) not in there) for sample in samples}


def _batches(samples: Sequence[Sample], lacking: dict[str, tuple[Spec, ...]], batch_size: int) -> Iterator[tuple[Batch, tuple[Spec, ...]]]:
    """Batches of images of one size that lack the same explainers, and these; in order within each kind.

    With the batch size of the session that was interrupted, they are its batches.
    """
    alike = dict[tuple[Spec, ...], list[Sample]]()
    for sample in samples:
        alike.setdefault(lacking[sample.id], []).append(sample)
    for explainers, same in alike.items():
        if explainers:
            for batch in batches(same, batch_size):
                yield batch, explainers


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
