"""Row: one metric value of one explainer on one image, the unit of every result."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["ok", "constant_map", "undefined", "not_applicable", "error"]
SCORED = ("ok", "constant_map")  # a constant map has a score, even if it says nothing


class Row(NamedTuple):
    """One line of the tidy table.

    Attributes:
        run: name of the run, the folder it lives in.
        dataset: spec of the data set.
        split: name of the split.
        image: id of the image.
        label: ground-truth class index; -1 where unknown.
        model: name of the classifier, with its weights.
        explainer: canonical spec of the explainer; `none` for a metric that judges the model alone.
        target_rule: how the explained class was chosen: label, predicted, runner_up, least_likely or an index.
        target: class index that was explained and scored; -1 where it could not be told.
        metric: canonical spec of the metric.
        protocol: name of the convention by which the value was made.
        protocol_hash: hash of the seven switches and all options of that convention.
        value: the value in the metric's unit; NaN where there is none.
        status: ok, constant_map (scored, but the map says nothing), undefined (the metric has no meaning for the image),
            not_applicable or error.
        reason: why the status is not ok; empty otherwise.
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
