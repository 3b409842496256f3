"""Which passes are in bfloat16, and the probe of its time."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.precision import Precision
from camdbench.models import autocasting
from camdbench.models.autocasting import bfloat16_time, in_bfloat16
from camdbench.models.backward_rules import BackwardRules
from camdbench.models.pass_counts import PassCounts


@pytest.mark.parametrize(
    ("precision", "without", "with_gradients"), [("fp32", False, False), ("bf16", True, False), ("bf16-all", True, True)]
)
def test_gradients_need_the_word_for_all(precision: Precision, without: bool, with_gradients: bool) -> None:
    with torch.no_grad():
        assert in_bfloat16(precision, torch.float32) == without
    assert in_bfloat16(precision, torch.float32) == with_gradients
    assert not in_bfloat16(precision, torch.float64)
    with BackwardRules({}):
        assert not in_bfloat16(precision, torch.float32)


def test_the_probe_is_a_ratio_of_medians_of_passes_that_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, seen = count(), list[bool]()
    exact, reduced = iter([9.0, 2.0, 4.0, 3.0]), iter([99.0, 6.0, 5.0, 7.0])

    def clock(device: torch.device) -> float:
        if next(ticks) % 2 == 0:
            return 0.0
        return next(reduced if seen[-1] else exact)

    own = toy_classifier()
    own.network.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    monkeypatch.setattr(autocasting, "clock", clock)
    assert bfloat16_time(own, toy_batch().images) == 6 / 3  # without the first of each, which warms up
    assert seen == [False, True] * 4
    assert own.passes == PassCounts()
