"""Score-CAM over evenly spaced channels, for networks whose last layer has very many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.scorecam import scorecam


@explainer(
    "scorecam-sampled",
    paper="Wang et al. 2020, arXiv:1910.01279; of evenly spaced channels",
    cost=Cost(forward=1, repeats=(Repeat("channels", forward=1),)),
    needs=("layer",),
)
def sampled_scorecam(trace: Trace, *, channels: int = 128) -> Tensor:
    """Score-CAM of the channels floor(i K / N) of K, for i = 0, …, N - 1 and N = `channels`; of all if there are at most N.

    Returns:
        (B, h, w), non-negative.
    """
    count = trace.activations.shape[1]
    chosen = torch.arange(min(channels, count)) * count // min(channels, count)
    part = SimpleNamespace(
        activations=trace.activations[:, chosen.to(trace.activations.device)],
        **{name: getattr(trace, name) for name in ("images", "targets", "size", "score", "classifier")},
    )
    part.at = lambda layer: part
    return scorecam(cast("Any", part))
