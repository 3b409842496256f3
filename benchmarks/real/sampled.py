"""Score-CAM over evenly spaced channels, for networks whose last layer has very many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from camdbench.explainers.common.trace import Trace
from camdbench.explainers.scorecam import scorecam


def sampled_scorecam(trace: Trace, *, channels: int = 128) -> Tensor:
    """Score-CAM (Wang et al. 2020, arXiv:1910.01279) of the channels floor(i K / N) of K, i = 0, …, N - 1, N = min(`channels`, K).

    Returns:
        (B, h, w), non-negative.
    """
    count = trace.activations.shape[1]
    chosen = torch.arange(min(channels, count)) * count // min(channels, count)
    part = SimpleNamespace(
        activations=trace.activations[:, chosen.to(trace.activations.device)],
        **{name: getattr(trace, name) for name in ("images", "targets", "size", "score", "classifier", "objective", "explained")},
    )
    part.at = lambda _layer: part  # the only layer
    return scorecam(cast("Any", part))
