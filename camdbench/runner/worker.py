"""Worker: explains and scores one chunk of images, and writes one part per explainer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from camdbench.core.progress import NullProgress
from camdbench.core.registries import protocol_of
from camdbench.core.spec import Spec
from camdbench.datasets.loading import Read, UnreadableImage, prefetch
from camdbench.datasets.samples import Batch, Dataset, Sample, batches
from camdbench.models.classifier import Classifier
from camdbench.models.devices import machine
from camdbench.models.pass_counts import PassCounts
from camdbench.runner.map_spool import MapSpool
from camdbench.runner.part_tables import UsageRow
from camdbench.runner.partial_results import PartialResults
from camdbench.runner.resources import Resources
from camdbench.runner.results import BatchResult, MetricScores, curve_table, total_usage
from camdbench.runner.run_directory import PartKey, RunDirectory
from camdbench.runner.saved_maps import pack
from camdbench.runner.scoring import is_out_of_memory, metrics_for, score_batch
from camdbench.runner.view_maps import pack_views

if TYPE_CHECKING:
    from camdbench.runner.prepare import Unit


Working = Callable[[float, str], None]  # called with the finished jobs of a unit, and a description of what begins
SILENT: Working = NullProgress().working


@dataclass(frozen=True)
class UnitSummary:
    """Usage of a unit, and its results if there is no run directory.

    Attributes:
        unit: the unit.
        passes: image passes, shared ones counted once.
        batch_size: batch size at its end.
        machine: device and threads.
        boxes_dropped: boxes that lie outside the preprocessed image.
        results: results, if there is no run directory.
        skipped: explainers that another session has finished.
        worker: host and process of a worker on a cluster; empty in this process.
    """

    unit: Unit
    passes: PassCounts
    batch_size: int
    machine: dict[str, Any]
    boxes_dropped: int = 0
    results: tuple[BatchResult, ...] = ()
    skipped: int = 0
    worker: str = ""

    def facts(self, workers: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Batch size and machine for the session's file; of a cluster also those of each of its `workers`, to which this unit is added."""
        own = {"batch_size": self.batch_size, "machine": self.machine}
        if not self.worker:
            return own
        workers[self.worker] = {"units": workers.get(self.worker, {}).get("units", 0) + 1, **own}
        return own | {"workers": workers}


class SampleLoader:
    """Images of the next units, loaded by worker processes during computation.

    Args:
        dataset: the images of the run.
        units: the units, in the order of execution.
        workers: number of processes; 0 loads each image on request.
    """

    def __init__(self, dataset: Dataset, units: Sequence[Unit], workers: int) -> None:
        self._stream = prefetch(dataset, [index for unit in units for index in range(unit.start, unit.stop)], workers=workers)

    def take(self, unit: Unit) -> Iterator[Read]:
        """Yield the images of the next unit; all must be taken before those of another one."""
        return islice(self._stream, unit.stop - unit.start)

    def close(self) -> None:
        """End the processes."""
        self._stream.close()


class Worker:
    """Computes units in one process; it keeps its batch size from one unit to the next.

    Args:
        resources: data set, models and maps.
        directory: run directory for the parts; None returns the results.
    """

    def __init__(self, resources: Resources, directory: RunDirectory | None) -> None:
        self.resources, self.directory, self.request = resources, directory, resources.checked_request
        self.batch_size = self.request.config.batch_size
        known = {spec: protocol_of(spec) for spec in self.request.metrics}
        self._protocols = {str(spec): (protocol.name, protocol.digest(spec.name)) for spec, protocol in known.items()}

    def run(self, unit: Unit, loader: SampleLoader | None = None, working: Working = SILENT) -> UnitSummary:
        """Explain and score the images of a unit.

        Args:
            unit: the unit; partial results of an interrupted session are reused.
            loader: source of its images; default: a loader of this unit.
            working: called before each explainer and each metric of a batch.

        Raises:
            UsageError: the target rule cannot be met.
            CamdbenchError: a part cannot be written.
        """
        classifier, data = self.resources.working.classifier(unit.model), self.resources.images
        name, before = self.resources.row_name(classifier), classifier.passes
        _reset_peak(classifier.device)
        items: Iterable[Read] = (loader or SampleLoader(data, [unit], self.resources.workers)).take(unit)
        root, asked = None if self.directory is None else self.directory.root, unit
        unit = replace(asked, explainers=self._unfinished(asked, name))
        with torch.inference_mode(mode=False), classifier.frozen(), self._partial(name, unit) as partial, closing(MapSpool(root)) as spool:
            if results := partial.load(unit.explainers):  # of images that can still be read, so all are read first
                items = list(items)
                readable = {item.id for item in items if not isinstance(item, UnreadableImage)}
                results = [spool.take(result) for result in results if readable.issuperset(result.ids)]
            images, finished = _Readable(items), {(result.explainer, image) for result in results for image in result.ids}
            made = len(finished)  # maps, of which a job has one for each image

            def begin(what: str) -> None:
                working(made / (unit.stop - unit.start), f"{unit}, {what}")

            for result in self._compute(classifier, images, unit.explainers, finished, begin):
                partial.add(result)
                results.append(spool.take(result))
                made += len(result.ids)
            if self.directory is not None:
                self._write(self.directory, name, unit, results, spool, images.damaged, classifier.device)
            partial.clear()
        kept = tuple(results) if self.directory is None else ()
        skipped = len(asked.explainers) - len(unit.explainers)
        passes, where = classifier.passes - before, machine(classifier.device)
        return UnitSummary(asked, passes, self.batch_size, where, images.boxes_dropped, kept, skipped)

    def _unfinished(self, unit: Unit, name: str) -> tuple[Spec, ...]:
        """Explainers of a unit that no other session has finished since the units were listed."""
        if self.directory is None:
            return unit.explainers
        done = {str(spec): self.directory.is_done(PartKey(name, str(spec), unit.chunk), now=True) for spec in unit.explainers}
        return tuple(spec for spec in unit.explainers if not done[str(spec)])

    def _partial(self, name: str, unit: Unit) -> PartialResults:
        return PartialResults(None if self.directory is None else self.directory.partial(name, unit.chunk))

    def _compute(
        self,
        classifier: Classifier,
        samples: Iterable[Sample],
        explainers: Sequence[Spec],
        finished: Collection[tuple[str, str]],
        begin: Callable[[str], None],
    ) -> Iterator[BatchResult]:
        """Compute missing results; if memory runs out, halve the batch and continue with the remaining explainers."""
        asked, source, others = self.request, self.resources.source, self.resources.reference_images
        given: dict[str, Any] = {"target": asked.target_rule, "seed": asked.config.seed, "source": source, "others": others}
        given |= {"objective": self.resources.explained_objective, "begin": begin}
        size = 1 if classifier.batch_mates == "alone" else self.batch_size
        for batch, lacking in unit_batches(samples, explainers, finished, size):
            pending = [(batch, lacking)]
            while pending:
                part, left = pending.pop(0)
                if len(part) > self.batch_size:
                    size = self.batch_size
                    pending = [(part.part(0, size), left), (part.part(size, len(part)), left), *pending]
                    continue
                try:
                    moved = part.to(classifier.device)
                    for result in score_batch(classifier, moved, left, asked.metrics, **given, keep_maps=asked.config.save_maps):
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
        model: str,
        unit: Unit,
        results: Sequence[BatchResult],
        spool: MapSpool,
        damaged: Sequence[UnreadableImage],
        device: torch.device,
    ) -> None:
        """Write usage and predictions of the unit, then the part of each explainer: a part whose rows exist has both."""
        ids = self.resources.images.ids[unit.start : unit.stop]
        by_explainer = {str(spec): [result for result in results if result.explainer == str(spec)] for spec in unit.explainers}
        images, peak = len(ids) - len(damaged), _peak_mb(device)
        usage = ((spec, stage, used) for spec, of_explainer in by_explainer.items() for stage, used in total_usage(of_explainer).items())
        spent = [
            UsageRow(spec, stage, images, **asdict(used.passes), seconds=used.seconds, peak_memory_mb=peak) for spec, stage, used in usage
        ]
        directory.write_usage(model, unit.chunk, spent)
        predicted = (pair for result in results for pair in zip(result.ids, result.predicted, strict=False))
        directory.write_predictions(model, unit.chunk, list(by_explainer), {image: top for image, top in predicted if top[0] >= 0})
        for spec, of_explainer in by_explainer.items():
            self._write_part(directory, PartKey(model, spec, unit.chunk), of_explainer, spool, damaged, ids)

    def _write_part(
        self,
        directory: RunDirectory,
        key: PartKey,
        results: Sequence[BatchResult],
        spool: MapSpool,
        damaged: Sequence[UnreadableImage],
        ids: Sequence[str],
    ) -> None:
        """Write the part of one explainer, image by image, metrics in the requested order."""
        request, position = self.request, {name: place for place, name in enumerate(ids)}
        in_order = sorted(results, key=lambda result: position[result.ids[0]])
        spec = next(spec for spec in request.jobs if str(spec) == key.explainer)
        failed = [self._failed(spec, (item.id,), (item.label,), item.reason) for item in damaged]
        facts = {
            "run": directory.name,
            "dataset": str(request.dataset),
            "split": request.split,
            "model": key.model,
            "target_rule": request.target_rule,
            "objective": request.config.objective,
        }
        rows = [row for result in (*in_order, *failed) for row in result.rows(facts, self._protocols)]
        rows.sort(key=lambda row: position[row.image])
        maps = pack(spool.maps(key.explainer), ids)
        maps |= pack_views({image: view for result in in_order for image, view in zip(result.ids, result.views, strict=False)}, ids)
        directory.write(key, rows, curve_table(in_order), maps)

    def _failed(self, explainer: Spec, ids: tuple[str, ...], labels: tuple[int, ...], reason: str) -> BatchResult:
        wanted = metrics_for(explainer, self.request.metrics)
        scores = {str(metric): MetricScores.failed(len(ids), "error", reason) for metric in wanted}
        return BatchResult(str(explainer), ids, labels, (-1,) * len(ids), scores)


class _Readable:
    """Readable images of a unit, one after another.

    Attributes:
        damaged: the unreadable ones so far.
        boxes_dropped: boxes outside the images so far.
    """

    def __init__(self, items: Iterable[Read]) -> None:
        self._items, self.damaged, self.boxes_dropped = items, list[UnreadableImage](), 0

    def __iter__(self) -> Iterator[Sample]:
        for item in self._items:
            if isinstance(item, UnreadableImage):
                self.damaged.append(item)
            else:
                self.boxes_dropped += item.boxes_dropped
                yield item


def unit_batches(
    samples: Iterable[Sample], explainers: Sequence[Spec], finished: Collection[tuple[str, str]], batch_size: int
) -> Iterator[tuple[Batch, tuple[Spec, ...]]]:
    """Yield batches of images of one size that lack the same explainers, with these explainers.

    With the batch size of the interrupted session, they equal its batches. Batches like the first one are yielded as they fill, so
    that no more images are held; others follow in the order of their first images.

    Args:
        samples: the images.
        explainers: explainers of the unit.
        finished: explainers with the images for which there are results.
        batch_size: largest number of images.
    """
    waiting = dict[tuple[tuple[Spec, ...], tuple[int, ...]], list[Sample]]()
    for sample in samples:
        if not (lacking := tuple(spec for spec in explainers if (str(spec), sample.id) not in finished)):
            continue
        key = lacking, tuple(sample.image.shape)
        waiting.setdefault(key, []).append(sample)
        if len(waiting[key]) == batch_size and key == next(iter(waiting)):
            batch, waiting[key] = Batch.of(waiting[key]), []
            yield batch, lacking
    for (lacking, _), same in waiting.items():
        for batch in batches(same, batch_size):
            yield batch, lacking


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mb(device: torch.device) -> float:
    """Peak memory in MB (10^6 bytes): of the GPU since the start of the unit, or of this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
