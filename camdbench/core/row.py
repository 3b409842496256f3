"""Row of the result table: one metric value of one explainer on one image."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["ok", "constant_map", "undefined", "not_applicable", "error"]
SCORED = ("ok", "constant_map")  # a constant map has a score


class Row(NamedTuple):
    """One line of the tidy table.

    Attributes:
        run: name of the run directory.
        dataset: spec of the data set.
        split: name of the split.
        image: id of the image.
        label: ground-truth class index; -1 if unknown.
        model: name of the classifier, with its weights.
        explainer: canonical spec of the explainer; `none` for a metric with model scope.
        target_rule: rule that chooses the explained class: label, predicted, runner_up, least_likely or an index.
        target: index of the explained and scored class; -1 if unknown.
        metric: canonical spec of the metric.
        protocol: name of the protocol.
        protocol_hash: hash of all switches and options of the protocol.
        value: the value in the metric's unit; NaN if there is none.
        status: ok, constant_map (scored, but the map is constant), undefined (the metric is undefined for the image),
            not_applicable or error.
        reason: reason if the status is not ok; else empty.
        objective: scalar of the target class that is explained: logit, probability, …, or the name of a function.
    """

    run: str
    dataset: str
    split: str
    image: str
    label: int
    model: str
    explainer: str
    target_rule: str
    target: int
    metric: str
    protocol: str
    protocol_hash: str
    value: float
    status: Status
    reason: str
    objective: str = "logit"
