"""Results of a metric: what a batch gave does not change any more."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from camdbench.metrics.common.result import Curve, MetricResult


def test_a_result_and_its_curves_cannot_be_replaced() -> None:
    curve = Curve(torch.zeros(3), torch.ones(2, 3))
    result = MetricResult(torch.ones(2), curves={"a": curve})
    with pytest.raises(FrozenInstanceError):
        result.values = torch.zeros(2)  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        curve.y = torch.zeros(2, 3)  # type: ignore[misc]
