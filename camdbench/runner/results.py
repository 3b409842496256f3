"""BatchResult: scores of one explainer on one batch, as data on the CPU, and their conversion to table rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from camdbench.core.row import SCORED, Row, Status
from camdbench.explainers.common.usage import Usage
from camdbench.metrics.common.result import Curve
from camdbench.models.pass_counts import PassCounts
from camdbench.tables.aggregates import CellData
from camdbench.tables.curve_lists import CurveBlock, to_table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class MetricScores:
    """The scores of one metric on B images.

    Attributes:
        values: B values in the metric's unit, NaN if there is none.
        status: B states (`core.row.Status`).
        reasons: B texts, empty if the status is `ok`.
        curves: by name: x (K,) and y (B, K) from which the values are computed.
    """

    values: tuple[float, ...]
    status: tuple[Status, ...]
    reasons: tuple[str, ...]
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])

    @classmethod
    def failed(cls, count: int, status: Status, reason: str) -> MetricScores:
        """Return scores with one status for `count` images."""
        return cls((float("nan"),) * count, (status,) * count, (reason,) * count)

    @property
    def scored(self) -> list[int]:
        """Positions of the images with a value."""
        return [place for place, status in enumerate(self.status) if status in SCORED]


@dataclass(frozen=True)
class BatchResult:
    """The scores of one explainer on one batch.

    Attributes:
        explainer: canonical spec.
        ids: B image ids.
        labels: B ground-truth classes.
        targets: B explained classes, -1 if unknown.
        scores: by metric spec.
        usage: passes and seconds by stage: trace, explain, metrics.
        raw: (B, h, w) raw maps, if they are to be stored.
        views: B view maps, if these are to be stored.
        predicted: B pairs of the class of the highest probability and this probability; empty if the batch has no logits, or another
            result of it has them.
    """

    explainer: str
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    targets: tuple[int, ...]
    scores: Mapping[str, MetricScores]
    usage: Mapping[str, Usage] = field(default_factory=dict[str, Usage])
    raw: Tensor | None = None
    views: tuple[bytes, ...] = ()
    predicted: tuple[tuple[int, float], ...] = ()

    def rows(self, facts: Mapping[str, Any], protocols: Mapping[str, tuple[str, str]]) -> Iterator[Row]:
        """Yield table rows.

        Args:
            facts: run, dataset, split, model, target_rule and objective.
            protocols: name and hash of each metric's protocol.
        """
        for metric, own in self.scores.items():
            protocol, digest = protocols[metric]
            columns = zip(self.ids, self.labels, self.targets, own.values, own.status, own.reasons, strict=True)
            for image, label, target, value, status, reason in columns:
                yield Row(
                    **facts,
                    image=image,
                    label=label,
                    explainer=self.explainer,
                    target=target,
                    metric=metric,
                    protocol=protocol,
                    protocol_hash=digest,
                    value=value,
                    status=status,
                    reason=reason,
                )

    def state(self) -> dict[str, Any]:
        """Return a state of text, numbers and tensors, loadable by `torch.load(weights_only=True)`."""
        scores = {
            metric: (own.values, own.status, own.reasons, {name: (curve.x.clone(), curve.y.clone()) for name, curve in own.curves.items()})
            for metric, own in self.scores.items()
        }
        usage = {stage: (asdict(own.passes), own.seconds) for stage, own in self.usage.items()}
        raw = None if self.raw is None else self.raw.clone()  # a view would be written with the whole tensor behind it
        return {"explainer": self.explainer, "ids": self.ids, "labels": self.labels, "targets": self.targets} | {
            "scores": scores,
            "usage": usage,
            "raw": raw,
            "views": self.views,
            "predicted": self.predicted,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BatchResult:
        """Restore a result from its state.

        Raises:
            ValueError: a state of another form, or with another number of values than images.
        """
        count = len(state["ids"])
        scores = {
            metric: MetricScores(values, status, reasons, {name: Curve(*curve) for name, curve in curves.items()})
            for metric, (values, status, reasons, curves) in state["scores"].items()
        }
        usage = {stage: Usage(PassCounts(**passes), seconds) for stage, (passes, seconds) in state["usage"].items()}
        columns = [
            state["labels"],
            state["targets"],
            *(own for item in scores.values() for own in (item.values, item.status, item.reasons)),
            *(own for own in (state["views"], state["predicted"]) if own),
        ]
        if not count or any(len(own) != count for own in columns) or not isinstance(state["explainer"], str):
            raise ValueError(f"not the results of {count} images")
        given = {name: state[name] for name in ("explainer", "ids", "labels", "targets", "raw", "views", "predicted")}
        return cls(**given, scores=scores, usage=usage)


def total_usage(results: Sequence[BatchResult]) -> dict[str, Usage]:
    """Sum the usage of several batches, by stage."""
    found = dict[str, Usage]()
    for result in results:
        for stage, own in result.usage.items():
            found[stage] = found.get(stage, Usage()) + own
    return found


def curve_table(results: Sequence[BatchResult]) -> pa.Table | None:
    """One row per image, metric and curve (`tables.curve_lists`), of images with a value; None if there are no curves."""
    return to_table(block for result in results for block in _curves_of(result))


def _curves_of(result: BatchResult) -> Iterator[CurveBlock]:
    for metric, own in result.scores.items():
        images = [result.ids[place] for place in own.scored]
        for name, curve in own.curves.items():
            yield CurveBlock(metric, name, images, curve.x.double().numpy(), curve.y[own.scored].double().numpy())


@dataclass
class MetricCell:
    """Values of one metric, and the numbers of images for which it is undefined or not applicable."""

    data: CellData
    undefined: int = 0
    not_applicable: int = 0


def metric_cells(results: Sequence[BatchResult], metrics: Sequence[str], ids: Sequence[str], labels: np.ndarray) -> dict[str, MetricCell]:
    """Arrange values and curves of each metric over the images `ids`, as input of table reductions."""
    places = {name: place for place, name in enumerate(ids)}
    curves = {metric: dict[str, tuple[np.ndarray, np.ndarray]]() for metric in metrics}
    found = {metric: MetricCell(CellData(np.full(len(ids), np.nan), curves[metric], labels)) for metric in metrics}
    for result in results:
        rows = np.asarray([places[name] for name in result.ids], dtype=np.int64)
        for metric, own in result.scores.items():
            found[metric].data.values[rows] = own.values
            found[metric].undefined += own.status.count("undefined")
            found[metric].not_applicable += own.status.count("not_applicable")
            for name, curve in own.curves.items():
                empty = np.full((len(ids), len(curve.x)), np.nan)
                whole = curves[metric].setdefault(name, (curve.x.double().numpy(), empty))[1]
                whole[rows[own.scored]] = curve.y[own.scored].double().numpy()
    return found
