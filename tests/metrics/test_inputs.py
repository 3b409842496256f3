"""Inputs of a metric make each pass once, and none where the logits are known."""

from __future__ import annotations

import torch
from helpers.toys import SIZE

from camdbench.datasets.samples import Batch
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.confidence import average_drop, average_gain, average_increase
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts


def test_three_metrics_cost_one_masked_pass_where_the_logits_are_known(classifier: Classifier, batch: Batch) -> None:
    with torch.no_grad():
        logits = classifier(batch.images)
    classifier.passes = PassCounts()
    inputs = MetricInputs(classifier, batch.images, batch.labels, torch.rand(4, *SIZE), logits=logits)
    for metric in (average_drop, average_gain, average_increase):
        metric(inputs)
    assert classifier.passes == PassCounts(forward=4)


def test_nothing_is_computed_before_it_is_read(classifier: Classifier, batch: Batch) -> None:
    MetricInputs(classifier, batch.images, batch.labels, torch.rand(4, *SIZE))
    assert classifier.passes == PassCounts()


def test_log_odds_are_those_of_the_target_in_double_precision(classifier: Classifier, batch: Batch) -> None:
    inputs = MetricInputs(classifier, batch.images, batch.labels, torch.rand(4, *SIZE))
    p = inputs.logits.double().softmax(1).gather(1, batch.labels[:, None])[:, 0]
    torch.testing.assert_close(inputs.log_odds, p.log() - (1 - p).log())
    assert not inputs.logits.requires_grad
