"""A part that two explainers read is paid for once, and charged to both."""

from __future__ import annotations

from camdbench.explainers.common.usage import Usage, UsageMeter
from camdbench.models.pass_counts import PassCounts

FORWARD, BACKWARD = Usage(PassCounts(forward=4), 0.5), Usage(PassCounts(tail_backward=4), 0.25)


def test_usages_add_and_subtract() -> None:
    both = FORWARD + BACKWARD
    assert both == Usage(PassCounts(forward=4, tail_backward=4), 0.75)
    assert both - FORWARD == BACKWARD
    assert Usage() + FORWARD == FORWARD


def test_a_shared_part_is_charged_to_each_reader_and_spent_once() -> None:
    meter = UsageMeter()
    meter.costs[None, "logits"] = FORWARD
    meter.costs["relu2", "gradients"] = BACKWARD
    meter.read.update({(None, "logits"), ("relu2", "gradients")})
    assert meter.usage_since_last_call() == FORWARD + BACKWARD
    meter.read.add((None, "logits"))  # by the next explainer, twice
    meter.read.add((None, "logits"))
    assert meter.usage_since_last_call() == FORWARD
    assert meter.usage_since_last_call() == Usage()
    assert meter.spent() == FORWARD + BACKWARD
