"""The weighted sum of channels, written down place by place."""

from __future__ import annotations

import torch

from camdbench.explainers.common.weighted_channels import weighted_sum


def test_it_is_the_sum_over_channels_at_each_place() -> None:
    random = torch.Generator().manual_seed(0)
    weights, activations = torch.randn(2, 3, generator=random), torch.randn(2, 3, 2, 4, generator=random, dtype=torch.float64)
    signed, rectified = (weighted_sum(weights, activations, relu=relu) for relu in (False, True))
    assert signed.dtype == torch.float64
    for b in range(2):
        for y in range(2):
            for x in range(4):
                value = sum(float(weights[b, k]) * float(activations[b, k, y, x]) for k in range(3))
                torch.testing.assert_close(float(signed[b, y, x]), value)
                torch.testing.assert_close(float(rectified[b, y, x]), max(value, 0.0))
    assert (signed < 0).any()
