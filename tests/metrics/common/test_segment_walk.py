"""Walks over segments: both orders are each other's reverse, and their shares are true areas."""

from __future__ import annotations

import torch
from helpers.toys import SIZE, toy_batch, toy_classifier

from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.segment_walk import Segments, segment_walk


def test_the_orders_are_reverses_and_share_both_ends() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    maps = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode(mode=False), torch.no_grad(), classifier.frozen():
        inputs = MetricInputs(classifier, batch.images, batch.labels, maps, ids=batch.ids, logits=classifier(batch.images))
        passes = classifier.passes
        first, last = (segment_walk(inputs, Segments(9, 10.0, 0.0), "blank", "normalised", most_first=order) for order in (True, False))
        assert (classifier.passes - passes).forward == int((2 * first.numbers - 1).sum())
    for row, number in enumerate(first.numbers.tolist()):
        torch.testing.assert_close(first.shares[row, : number + 1], 1 - last.shares[row, : number + 1].flip(0))
        assert first.shares[row, [0, number]].tolist() == [0, 1]
        for place in (0, number):
            assert torch.equal(first.scores[row, place], last.scores[row, place])
        assert first.scores[row, number + 1 :].isnan().all()
        assert not first.scores[row, : number + 1].isnan().any()
