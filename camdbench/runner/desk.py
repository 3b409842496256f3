"""The desk: one unit's images judged batch by batch, each finding kept at once, one part committed per explainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from camdbench.core.catalogue import protocol_of
from camdbench.core.rows import Row
from camdbench.core.spec import Spec
from camdbench.datasets.loading import Damaged
from camdbench.datasets.samples import Batch, Sample, batches
from camdbench.explainers.common.usage import Usage
from camdbench.models.classifier import Classifier
from camdbench.runner.journal import Finding, Journal
from camdbench.runner.judge import Judged, MapSource, Points, Verdict, is_out_of_memory, judge_in_turn, metrics_for
from camdbench.runner.others import Others
from camdbench.runner.plan import Unit
from camdbench.runner.reading import Feed
from camdbench.runner.request import Request
from camdbench.runner.saved_maps import packed
from camdbench.runner.store import CostRow, PointBlock, Store


class Desk:
    """One unit's work with one model.

    Args:
        classifier: the model, frozen.
        request: what was asked for.
        store: where parts go.
        source: where maps come from.
        batch_size: images at a time; afterwards what the device had room for.
        others: the images that metrics compare with.
    """

    def __init__(self, classifier: Classifier, request: Request, store: Store, source: MapSource, batch_size: int, others: Others) -> None:
        self.classifier, self.request, self.store, self.source, self.batch_size = classifier, request, store, source, batch_size
        self.others = others
        known = {spec: protocol_of(spec) for spec in request.metrics}
        self._protocols = {spec: (protocol.name, protocol.digest(spec.name)) for spec, protocol in known.items()}

    def work(self, unit: Unit, feed: Feed, ids: Sequence[str]) -> int:
        """Read, judge, commit; the number of boxes that the preprocessing lost.

        Args:
            unit: what to do; what an interrupted session has found of it is not done again.
            feed: where its images come from.
            ids: their names, those that cannot be read too, in the order of the rows.
        """
        samples, damaged = _told_apart(feed, unit)
        readable = {sample.id for sample in samples}
        order = {name: place for place, name in enumerate(ids)}
        _reset_peak(self.classifier.device)
        with Journal(self.store.unfinished(self.classifier.name, unit.chunk)) as journal:
            held = journal.held(unit.explainers, self.request.metrics)
            findings = [finding for finding in held if readable.issuperset(finding.ids)]
            for finding in self._findings(samples, _lacking(samples, unit.explainers, findings)):
                findings.append(finding)
                journal.add(finding)
            for spec in unit.explainers:
                self._commit(unit, spec, [finding for finding in findings if finding.explainer == spec], damaged, order, len(samples))
            journal.clear()
        return sum(sample.boxes_lost for sample in samples)

    def _commit(
        self,
        unit: Unit,
        spec: Spec,
        findings: Sequence[Finding],
        damaged: dict[str, tuple[int, str]],
        order: dict[str, int],
        images: int,
    ) -> None:
        """Write the part of one explainer, image by image; metrics stay in the order asked for."""
        findings = sorted(findings, key=lambda finding: order[finding.ids[0]])
        rows = [self._row(spec, found.ids[v.image], found.labels[v.image], v) for found in findings for v in found.judged.verdicts]
        rows += self._damaged_rows(spec, damaged)
        rows.sort(key=lambda row: order[row.image])
        points = [_block(found.ids, item) for found in findings for item in found.judged.points]
        maps = packed(_raw(findings), list(order)) if self.request.save_maps else None
        spent = _cost_rows(findings, images, self.classifier.device)
        self.store.commit(unit.job(self.classifier.name, spec), rows, points, spent, maps)

    def _findings(self, samples: Sequence[Sample], lacking: dict[str, tuple[Spec, ...]]) -> Iterator[Finding]:
        """Judge what is lacking; where the device runs out of memory, halves of the batch by the explainers that are left."""
        for batch, explainers in _batches(samples, lacking, self.batch_size):
            pending = [(batch, explainers)]
            while pending:
                part, left = pending.pop(0)
                if len(part) > self.batch_size:
                    size = self.batch_size
                    pending = [(part.part(0, size), left), (part.part(size, len(part)), left), *pending]
                    continue
                try:
                    for finding in self._judged(part, left):
                        left = left[1:]
                        yield finding
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if len(part) > 1:
                        self.batch_size = len(part) // 2
                    else:
                        yield self._out_of_memory(part, left[0])
                        left = left[1:]
                    pending.insert(0, (part, left))

    def _judged(self, batch: Batch, explainers: Sequence[Spec]) -> Iterator[Finding]:
        asked = self.request
        moved = batch.to(self.classifier.device)
        for spec, judged in judge_in_turn(
            self.classifier,
            moved,
            explainers,
            asked.metrics,
            target=asked.target_rule,
            seed=asked.seed,
            source=self.source,
            others=self.others,
        ):
            yield Finding.of(spec, batch, judged, maps=asked.save_maps)

    def _out_of_memory(self, batch: Batch, explainer: Spec) -> Finding:
        reason = "out of memory with a batch of one image"
        wanted = metrics_for(explainer, self.request.metrics)
        verdicts = [Verdict(0, -1, metric, float("nan"), "error", reason) for metric in wanted]
        return Finding.of(explainer, batch, Judged(verdicts), maps=False)

    def _row(self, explainer: Spec, image: str, label: int, verdict: Verdict) -> Row:
        protocol, protocol_hash = self._protocols[verdict.metric]
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


def _lacking(samples: Sequence[Sample], explainers: Sequence[Spec], findings: Sequence[Finding]) -> dict[str, tuple[Spec, ...]]:
    """The explainers that each image still lacks."""
    there = {(finding.explainer, image) for finding in findings for image in finding.ids}
    return {sample.id: tuple(spec for spec in explainers if (spec, sample.id) not in there) for sample in samples}


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


def _raw(findings: Sequence[Finding]) -> dict[str, Tensor]:
    """The raw maps that there are, by image."""
    return {
        image: own
        for finding in findings
        if finding.judged.raw is not None
        for image, own in zip(finding.ids, finding.judged.raw.unbind(), strict=True)
    }


def _block(ids: Sequence[str], points: Points) -> PointBlock:
    x, y = points.curve.x, points.curve.y
    return PointBlock(str(points.metric), points.part, [ids[image] for image in points.images], x.numpy(), y.numpy())


def _cost_rows(findings: Sequence[Finding], images: int, device: torch.device) -> list[CostRow]:
    costs = dict[str, Usage]()
    for finding in findings:
        for stage, cost in finding.judged.costs.items():
            costs[stage] = costs.get(stage, Usage()) + cost
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
