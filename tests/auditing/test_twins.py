"""Twins of metrics are found by name and options, in any order."""

from __future__ import annotations

import pytest

from camdbench.auditing.twins import TWINS, protocol_pairs, twin_of
from camdbench.core.registries import metrics

RUN = ["ad", "deletion", "insertion(protocol=rise)", "lerf", "insertion", "deletion(protocol=rise)", "road_lerf", "morf(patch=8)"]


def test_twins_are_registered_metrics_that_say_most_or_least_relevant_first():
    assert all(name in metrics for pair in TWINS for name in pair)
    assert all(metrics.get(one).facts.higher_is_better != metrics.get(two).facts.higher_is_better for one, two in TWINS)


@pytest.mark.parametrize("order", [RUN, RUN[::-1], sorted(RUN)])
def test_a_twin_has_the_same_options_or_is_the_only_one(order):
    found = {metric: twin_of(metric, order) for metric in RUN}
    assert found == {
        "ad": "",
        "deletion": "insertion",
        "insertion": "deletion",
        "insertion(protocol=rise)": "deletion(protocol=rise)",
        "deletion(protocol=rise)": "insertion(protocol=rise)",
        "lerf": "morf(patch=8)",
        "morf(patch=8)": "lerf",
        "road_lerf": "",
    }
    assert twin_of("insertion(protocol=cgc)", ["insertion(protocol=cgc)", "insertion", "deletion(protocol=rise)"]) == ""


def test_protocols_of_one_metric_are_paired():
    assert protocol_pairs(RUN) == [("deletion", "deletion(protocol=rise)"), ("insertion(protocol=rise)", "insertion")]
